package e2e_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

// doctor looks at the real engine and finds it fit, in words and as JSON.
func TestDoctor(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	text := p.run("doctor")
	for _, want := range []string{
		`(?m)^ok +engine +\S+, API 1\.\d+, at unix://\S+ \(from DOCKER_HOST\)$`, `(?m)^\S+ +holes: engine +\S`, `(?m)^\S+ +runtimes +\S`,
		`(?m)^\S+ +cgroups +v[12]: `, `(?m)^\S+ +image +\S+ for ` + p.agent + `: \S`,
		`(?m)^ok +manifest +\S+/claude-bottle\.yaml\b.*: 1 agent$`, `(?m)^ok +seccomp +\S`, `(?m)^ok +state directory +\S`, `(?m)^ok +orphans +none`,
	} {
		if !regexp.MustCompile(want).MatchString(text.stdout) {
			t.Errorf("no %s in\n%s", want, text.stdout)
		}
	}
	if text.code != 0 || !regexp.MustCompile(`^claude-bottle: \d+ ok, \d+ warnings?, 0 failures\n$`).MatchString(text.stderr) {
		t.Errorf("code %d: %s", text.code, text.stderr)
	}
	var found struct {
		State  string
		Checks []struct{ Name, State, Detail, Mend string }
	}
	printed := p.run("doctor", "--format", "json")
	if err := json.Unmarshal([]byte(printed.stdout), &found); err != nil || printed.code != 0 || printed.stderr != "" {
		t.Fatalf("%v: %+v", err, printed)
	}
	if lines := strings.Count(text.stdout, "\n"); len(found.Checks) < 10 || len(found.Checks) > lines {
		t.Errorf("%d checks, in text %d lines", len(found.Checks), lines)
	}
	for _, check := range found.Checks {
		if !strings.Contains(text.stdout, check.Name) {
			t.Errorf("%s is not in the text", check.Name)
		}
	}
	p.keepsNoRun()
}
