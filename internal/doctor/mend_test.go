package doctor

import (
	"bytes"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// programs are what mends begin with.
var programs = []string{
	"sudo", "sudoedit", "docker", "claude-bottle", "claude", "chmod", "echo", "export", "printf", "read", `"${EDITOR:-vi}"`,
}

// TestMendsArePasted: each mend is a command that a shell can parse, made of
// programs that exist, with nothing left to fill in but what is one's own.
func TestMendsArePasted(t *testing.T) {
	for _, judged := range judgements() {
		for _, check := range judged.checks {
			if check.Mend == "" {
				continue
			}
			parse := exec.CommandContext(t.Context(), "sh", "-n", "-c", check.Mend)
			if out, err := parse.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", judged.name, check.Mend, err, out)
			}
			for _, command := range regexp.MustCompile(` && | \| `).Split(check.Mend, -1) {
				if first, _, _ := strings.Cut(command, " "); !slices.Contains(programs, first) {
					t.Errorf("%s: %q begins with no program", judged.name, command)
				}
			}
			if strings.ContainsAny(check.Mend, "…`") || strings.Contains(check.Mend, ", ") && !strings.Contains(check.Mend, "'") {
				t.Errorf("%s: %s is prose", judged.name, check.Mend)
			}
		}
	}
}

// TestMendsOfAnothersNames: a name that somebody else chose stays one word.
func TestMendsOfAnothersNames(t *testing.T) {
	for _, name := range []string{"a b", "$(touch owned)", "it's; echo owned", "`x`", "-plain", "ünï", ""} {
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+"x"+quoted(name)).Output()
		if err != nil || !bytes.Equal(out, []byte("x"+name)) {
			t.Errorf("%q came out as %q, %v", name, out, err)
		}
	}
	checks := JudgeImages([]Image{{Name: "x", For: []string{"a; echo owned"}}})
	if checks[0].Mend != "claude-bottle start 'a; echo owned'" {
		t.Errorf("mend: %s", checks[0].Mend)
	}
}
