//go:build linux

package escape_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/escape/attacks"
)

// TestNothingSpeaksToTheTerminal puts what terminals act on wherever a bottle,
// or a project, can put words that this program prints: names that were asked
// for, paths, files, a directory, a program that is not there.
func TestNothingSpeaksToTheTerminal(t *testing.T) {
	sampled(t, func(t *testing.T, p *person) {
		v := newVictim(t, p)
		project := filepath.Join(filepath.Dir(p.project), "pro\x1b]0;title\x07\x1b[2Jject\u202e\u009b")
		if err := os.Rename(p.project, project); err != nil {
			t.Fatal(err)
		}
		p.project = project
		for _, name := range attacks.Words() {
			if err := os.WriteFile(filepath.Join(project, name), nil, 0o644); err != nil { //nolint:gosec // G306: of a project
				t.Fatal(err)
			}
		}
		got := p.start(nil, "speak")
		if got.code != 0 {
			t.Errorf("speak: code %d\n%q", got.code, got.stderr)
		}
		got.clean(t, "start")
		run := p.agentsRun(t)
		p.commands(t, v, []string{"ps", "--all"}, []string{"ps", run}, []string{"egress", run}, []string{"egress", run, "--denied"},
			[]string{"egress", run, "--format", "json"}, []string{"egress", run, "--follow"}, []string{"start", p.agent, "--cwd", "--dry-run"},
			[]string{"start", p.agent, "--cwd", "--dry-run", "--format", "json"})
		if words := p.run(nil, "egress", run).stdout; strings.Count(words, "\n") < 20 {
			t.Errorf("there is next to nothing in the record:\n%s", words)
		}
		// Errors that quote what they were given, or what is inside.
		for _, args := range [][]string{
			{"start", p.agent, "--yes", "--cwd", "--", "\x1b]0;x\x07"}, {"ps", "\x1b[2J"}, {"why", p.agent, "http://\x1b[2J.example/\x07"},
			{"exec", "\x1b[2J", "x"}, {"\x1b[2J"}, {"start", "\x1b[2J"}, {"allow", run, "\x1b[2J"}, {"validate", project + "/\x1b[2J"},
		} {
			got := p.run(nil, args...)
			if got.code == 0 {
				t.Errorf("%q: no error", args)
			}
			got.clean(t, strings.Join(args, " "))
		}
		v.untouched(t, "all of it")
	})
}
