//go:build linux

package escape_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"

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
			{"start", p.agent, "--yes", "--cwd", "--", "\x1b]0;x\x07"},
			{"ps", "\x1b[2J"},
			{"why", p.agent, "http://\x1b[2J.example/\x07"},
			{"exec", "\x1b[2J", "x"},
			{"\x1b[2J"},
			{"start", "\x1b[2J"},
			{"allow", run, "\x1b[2J"},
			{"validate", project + "/\x1b[2J"},
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

// TestNothingShoutsThroughTheTerminal has the agent itself, at a terminal, say
// what terminals act on.
func TestNothingShoutsThroughTheTerminal(t *testing.T) {
	sampled(t, func(t *testing.T, p *person) {
		cmd := p.command("start", p.agent, "--cwd", "--yes", "--", "shout")
		credential := cmd.SysProcAttr.Credential
		file, err := pty.StartWithAttrs(cmd, &pty.Winsize{Rows: 40, Cols: 120}, &syscall.SysProcAttr{
			Setsid: true, Setctty: true, Credential: credential, Pdeathsig: syscall.SIGKILL,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		said, _ := io.ReadAll(file) // a terminal ends with EIO
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v\n%q", err, said)
		}
		for _, word := range []string{"half\r\n", "the end\r\n"} {
			if !bytes.Contains(said, []byte(word)) {
				t.Errorf("%q is missing: %q", word, said)
			}
		}
		for _, shout := range attacks.Shouts() {
			if bytes.Contains(said, []byte(shout)) {
				t.Errorf("%q reached the terminal", shout)
			}
		}
		for _, part := range []string{"]52;", "\x1bP", "\x1b_", "\x05", "[21t", "[5i", "]8;;", "\u009b", "\x9b", "\x90"} {
			if part[0] == '[' || part[0] == ']' {
				part = "\x1b" + part
			}
			if bytes.Contains(said, []byte(part)) {
				t.Errorf("%q reached the terminal: %q", part, said)
			}
		}
	})
}
