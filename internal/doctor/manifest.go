package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Manifest is what a start in this directory would read.
type Manifest struct {
	Files []string
	// Errors are all that is wrong, each with its place.
	Errors []string
	// Warnings are what works and is likely not meant.
	Warnings []string
	// Untrusted is a project's manifest that the person has not seen.
	Untrusted string
	Agents    []Agent
	// Missing says that there is none.
	Missing bool
}

// Agent is one of a manifest's, and what would keep it from being started.
type Agent struct {
	Name          string
	Harness       string
	Problem, Hint string
}

// JudgeManifest is about the manifest and its agents.
func JudgeManifest(m Manifest) Check {
	check := Check{Name: "manifest", State: OK}
	switch {
	case m.Missing:
		check.State, check.Mend = Warn, "claude-bottle init"
		check.Detail = "none here, and none in your home"
		return check
	case len(m.Errors) > 0:
		check.State, check.Mend = Fail, "claude-bottle edit"
		check.Detail, check.Notes = fmt.Sprintf("%d wrong", len(m.Errors)), m.Errors
		return check
	}
	check.Detail = strings.Join(m.Files, ", ") + ": " + counted(len(m.Agents), "agent", "agents")
	check.Notes = append(check.Notes, m.Warnings...)
	var mends []string
	if m.Untrusted != "" {
		check.Notes = append(check.Notes, m.Untrusted+" came with the project and is not trusted yet")
		mends = append(mends, "claude-bottle trust")
	}
	for _, agent := range m.Agents {
		if agent.Problem != "" {
			check.Notes = append(check.Notes, "agent "+agent.Name+": "+agent.Problem)
			check.Notes = append(check.Notes, notes(agent.Hint)...)
			mends = append(mends, commandIn(agent.Hint))
		}
	}
	if len(check.Notes) > 0 {
		check.State = Warn
	}
	if mends = slices.DeleteFunc(mends, func(mend string) bool { return mend == "" }); len(mends) > 0 {
		check.Mend = mends[0]
	}
	return check
}

// Harness is one that agents of the manifest use.
type Harness struct {
	Name string
	// Variables are what may carry its credential, best first, and Set which
	// of them are. Values are never here.
	Variables, Set []string
	// Login is what `login` has kept for it; empty for nothing.
	Login string
	// Manifest says that a manifest brings it itself.
	Manifest bool
}

// JudgeHarnesses is about their credentials.
func JudgeHarnesses(harnesses []Harness) []Check {
	var checks []Check
	for _, h := range harnesses {
		check := Check{Name: "harness " + h.Name, State: OK}
		switch {
		case len(h.Set) > 0:
			check.Detail = h.Set[0] + " is set"
		case h.Manifest:
			check.Detail = "the manifest brings its credential"
		case h.Login != "":
			check.Detail = "claude-bottle login keeps " + h.Login
		case len(h.Variables) == 0:
			check.Detail = "needs no credential"
		default:
			check.State = Warn
			check.Detail = "no credential: none of " + strings.Join(h.Variables, ", ") + " is set"
			check.Mend = "claude-bottle login"
		}
		checks = append(checks, check)
	}
	return checks
}

// Roots are the extra roots of one file.
type Roots struct {
	Path         string
	Certificates []Certificate
	Problem      string
}

// Certificate is one of them.
type Certificate struct {
	Subject string
	Until   time.Time
}

// soon is when a root that ends is worth a word.
const soon = 30 * 24 * time.Hour

// JudgeRoots is about the extra roots of the manifest.
func JudgeRoots(files []Roots, now time.Time) []Check {
	var checks []Check
	for _, file := range files {
		check := Check{
			Name: "roots", State: OK,
			Detail: fmt.Sprintf("%s: %s", file.Path, counted(len(file.Certificates), "certificate", "certificates")),
		}
		if file.Problem != "" {
			check.State, check.Detail, check.Mend = Fail, file.Path+": "+file.Problem, "claude-bottle edit"
		}
		for _, c := range file.Certificates {
			until := c.Until.UTC().Format(time.DateOnly)
			switch {
			case now.After(c.Until):
				check.State = Fail
				check.Notes = append(check.Notes, c.Subject+" ended "+until)
			case now.Add(soon).After(c.Until):
				check.State = worse(check.State, Warn)
				check.Notes = append(check.Notes, c.Subject+" ends "+until)
			}
		}
		if check.State != OK && check.Mend == "" {
			check.Notes = append(check.Notes, "put the new root in its place")
			check.Mend = `"${EDITOR:-vi}" ` + quoted(file.Path)
		}
		checks = append(checks, check)
	}
	return checks
}

func worse(a, b State) State {
	if rank(b) > rank(a) {
		return b
	}
	return a
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
