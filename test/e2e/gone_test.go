package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/engine"
)

// TestTerminalGone: a terminal that is closed, or whose connection breaks, ends
// the run of a bottle without an engine. Its work is kept; nothing runs on, and
// nothing but the run's directory is left.
func TestTerminalGone(t *testing.T) {
	for at, until := range map[string]func(t *testing.T, p *person, s *screen){
		"the plan": func(_ *testing.T, _ *person, s *screen) { s.shows("launch this agent? [y/N]") },
		"a launch": func(_ *testing.T, p *person, s *screen) {
			s.shows("launch this agent? [y/N]")
			s.types("y\r")
			p.launches()
		},
		"work": func(_ *testing.T, _ *person, s *screen) {
			s.shows("launch this agent? [y/N]")
			s.types("y\r")
			s.shows("21-up")
		},
	} {
		t.Run(at, func(t *testing.T) {
			p := newPlainPerson(t)
			// The agent hears of nothing, and leaves something that would go on.
			mark := filepath.Base(p.state)
			s := onScreen(t, p.command("start", "shell", "--platform", "native", "--", "trap '' HUP TERM; echo made >file; "+
				"setsid sh -c 'sleep 1000; :' "+mark+" & echo $((20 + 1))-up; while :; do sleep 1; done"))
			until(t, p, s)
			if err := s.file.Close(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- s.cmd.Wait() }()
			select {
			case err := <-ended:
				if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) {
					t.Errorf("it ended with %v", err)
				}
			case <-time.After(patience):
				t.Fatal("it goes on without its terminal")
			}
			if left := processesOf(t, p.state, mark); len(left) > 0 {
				t.Errorf("still running: %q", left)
			}
			if left, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "native", "*")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			made, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*", "work", "file"))
			if want := at == "work"; err != nil || (len(made) == 1) != want {
				t.Errorf("the work: %q, %v", made, err)
			}
			for _, run := range p.runs() {
				for _, socket := range []string{"guest.sock", "control.sock"} {
					if _, err := os.Lstat(filepath.Join(run, socket)); err == nil {
						t.Errorf("%s is left", socket)
					}
				}
			}
			if got := p.run("ps"); got.code != 0 || strings.Contains(got.stdout, "shell") {
				t.Errorf("ps: code %d\n%s%s", got.code, got.stdout, got.stderr)
			}
		})
	}
}

// newPlainPerson has a shell in a bottle, and no engine.
func newPlainPerson(t *testing.T) *person {
	t.Helper()
	engine.Tool(t, "bwrap")
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "n")
	if err != nil {
		t.Fatal(err)
	}
	p := &person{
		t: t, binary: binary, home: filepath.Join(dir, "home"), state: filepath.Join(dir, filepath.Base(dir)), project: filepath.Join(dir, "project"),
	}
	for _, dir := range []string{shared.dir, dir, p.home, p.state, p.project} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	text := "bottles: {plain: {}}\nagents: {shell: {bottle: plain, harness: {command: [bash, -c]}}}\n"
	if err := os.WriteFile(filepath.Join(p.home, "claude-bottle.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = []string{"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color"}
	return p
}

// launches waits for a run's directory.
func (p *person) launches() {
	p.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(patience); len(p.runs()) == 0; {
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatal("no launch begins")
		}
	}
}

// runs are the directories of the person's runs.
func (p *person) runs() []string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "[a-z0-9]*"))
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

// processesOf are those whose arguments hold one of the marks.
func processesOf(t *testing.T, marks ...string) (found []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		line, _ := os.ReadFile(path) // it may have ended meanwhile
		for _, mark := range marks {
			if bytes.Contains(line, []byte(mark)) {
				found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
				break
			}
		}
	}
	return found
}
