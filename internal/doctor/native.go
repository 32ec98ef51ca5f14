package doctor

import (
	"strings"
)

// Native is what was seen of this machine for bottles without a daemon.
type Native struct {
	// Problem says why there can be none, Hint what a person can do.
	Problem, Hint string
	Bubblewrap    string // the program's path
	// Profile is what AppArmor must know of claude-bottle, in ProfileFile; empty
	// where AppArmor restricts nothing. ProfileThere says that it is there.
	ProfileFile, Profile string
	ProfileThere         bool
	// Limits are those that can be held beside pids and disk; Lacks says why
	// others cannot.
	Limits, Lacks []string
	Agents        []NativeAgent
}

// NativeAgent is a coding agent: Program where it is on the host, else Package,
// which will be installed, else Problem.
type NativeAgent struct {
	Name, Program, Package, Problem, Hint string
}

// JudgeNative is about native bottles. wanted says that no other kind would be
// launched here: what they lack is then a failure.
func JudgeNative(n Native, wanted bool) []Check {
	lack := Warn
	if wanted {
		lack = Fail
	}
	check := Check{Name: "native", State: OK, Detail: "bottles without a daemon can be made, by " + n.Bubblewrap}
	if n.Problem != "" {
		check = Check{Name: "native", State: lack, Detail: n.Problem, Notes: notes(n.Hint), Mend: commandIn(n.Hint)}
	}
	if n.Profile != "" {
		judgeProfile(&check, n)
	}
	checks := []Check{check, judgeNativeLimits(n)}
	for _, agent := range n.Agents {
		checks = append(checks, judgeNativeAgent(agent, lack))
	}
	return checks
}

// judgeProfile is about Ubuntu's restriction, of which only this program is
// taken out: never all programs, by the setting itself.
func judgeProfile(check *Check, n Native) {
	if n.ProfileThere {
		if n.Problem != "" {
			return
		}
		check.Notes = append(check.Notes, "AppArmor has a profile for it: "+n.ProfileFile+". When a launch fails all the same: sudo apparmor_parser -r "+n.ProfileFile)
		return
	}
	if !strings.Contains(n.Problem, "AppArmor") {
		return
	}
	check.Notes = []string{"the command writes and loads this profile, which lets claude-bottle's own programs make namespaces, and no other:"}
	words := []string{"printf", `'%s\n'`}
	for line := range strings.Lines(n.Profile) {
		line = strings.TrimSuffix(line, "\n")
		check.Notes = append(check.Notes, "    "+line)
		words = append(words, quoted(line))
	}
	check.Mend = strings.Join(words, " ") + " | sudo tee " + quoted(n.ProfileFile) + " >/dev/null && sudo apparmor_parser -r " + quoted(n.ProfileFile)
}

func judgeNativeLimits(n Native) Check {
	can := strings.Join(append([]string{"pids", "disk"}, n.Limits...), ", ")
	if len(n.Lacks) == 0 {
		return Check{Name: "native limits", State: OK, Detail: can + " can be held"}
	}
	return Check{
		Name: "native limits", State: Warn, Detail: "only " + can + " can be held: a manifest that limits more is refused on native", Notes: n.Lacks,
	}
}

func judgeNativeAgent(a NativeAgent, lack State) Check {
	check := Check{Name: "native " + a.Name, State: OK, Detail: a.Program}
	switch {
	case a.Problem != "":
		check.State, check.Detail, check.Notes, check.Mend = lack, a.Problem, notes(a.Hint), commandIn(a.Hint)
	case a.Package != "":
		check.Detail = "on this machine nowhere: the first launch installs " + a.Package + " with npm"
	}
	return check
}
