package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
)

// However a run is ended, its bottle goes; newPerson looks whether it did.

func TestDeclinedPlan(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	s := onScreen(t, p.command("start", p.agent, "--", "true"))
	s.shows("launch this agent? [y/N]")
	s.types("\r")
	s.shows("aborted by user")
	if code := s.ends(); code != 0 {
		t.Errorf("code %d", code)
	}
}

func TestTerminatedWhileRunning(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	s := onScreen(t, p.command("start", p.agent, "--yes", "--", "echo $((20 + 1))-up; read -r"))
	s.shows("21-up")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := s.ends(); code != 143 {
		t.Errorf("code %d:\n%s", code, s.text())
	}
}

// A launch that is ended while the person is asked for a secret has made
// nothing yet.
func TestEndedAtTheQuestion(t *testing.T) {
	p := newPerson(t, "runc", "env: {PASSWORD: '?the password'}", shell)
	for code, end := range map[int]func(s *screen) error{
		130: func(s *screen) error { s.types("\x03"); return nil },
		143: func(s *screen) error { return s.cmd.Process.Signal(syscall.SIGTERM) },
	} {
		s := onScreen(t, p.command("start", p.agent, "--yes", "--", "echo $((20 + 1))-up"))
		s.shows("the password")
		if err := end(s); err != nil {
			t.Fatal(err)
		}
		if got := s.ends(); got != code || strings.Contains(s.text(), "21-up") {
			t.Errorf("code %d, want %d:\n%s", got, code, s.text())
		}
		if left := p.objects(t.Context()); len(left) > 0 {
			t.Errorf("made: %q", left)
		}
		p.keepsNoRun()
	}
}

// Ctrl-C while the agent runs is the agent's.
func TestInterruptIsTheAgents(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	s := onScreen(t, p.command("start", p.agent, "--yes", "--", "trap 'echo caught; exit 9' INT; echo $((20 + 1))-up; while :; do read -r; done"))
	s.shows("21-up")
	s.types("\x03")
	s.shows("caught")
	if code := s.ends(); code != 9 {
		t.Errorf("code %d:\n%s", code, s.text())
	}
}

// A launcher that is killed leaves a bottle that the next command removes,
// and the work is kept.
func TestKilledLauncher(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	s := onScreen(t, p.command("start", p.agent, "--yes", "--", "echo saved >note; echo $((20 + 1))-up; read -r"))
	s.shows("21-up")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.ends()
	p.run("ps")
	p.work() // is there
}

// A build that fails ends the launch, and the end of its output says why.
func TestBuildThatFails(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	base := "claude-bottle-test-unwell:" + filepath.Base(filepath.Dir(p.home))
	err := engine.ShellWith(t.Context(), p.api, base, map[string]string{"apt-get": "echo the mirror is unwell; exit 100\n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := p.api.ImageRemove(context.WithoutCancel(t.Context()), base, client.ImageRemoveOptions{Force: true})
		if err != nil {
			t.Error(err)
		}
	})
	p.env = append(p.env, "CLAUDE_BOTTLE_BASE_IMAGE="+base)
	got := p.run("start", p.agent, "--yes", "--", "true")
	if got.code != 125 || strings.Count(got.stderr, "error: ") != 1 || !strings.Contains(got.stderr, "\nhint: ") {
		t.Errorf("code %d:\n%s", got.code, got.stderr)
	}
	if _, shown, _ := strings.Cut(got.stderr, "error: build image "); !strings.Contains(shown, "\n  the mirror is unwell\n") {
		t.Errorf("the build's output is not shown:\n%s", got.stderr)
	}
	p.keepsNoRun()
	steps, err := p.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("ancestor", base)})
	if err != nil || len(steps.Items) > 0 {
		t.Errorf("containers of the build: %v, %v", steps.Items, err)
	}
}

// A gateway that dies leaves its bottle without a network, which the person
// is told at once. The agent goes on, and its work is kept.
func TestGatewayDies(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	s := onScreen(t, p.command("start", p.agent, "--yes", "--", "echo kept >note; echo $((20 + 1))-up; read -r"))
	s.shows("21-up")
	gateway := "claude-bottle-" + p.agent + ".gateway"
	if _, err := p.api.ContainerKill(t.Context(), gateway, client.ContainerKillOptions{Signal: "KILL"}); err != nil {
		t.Fatal(err)
	}
	s.shows("no network")
	s.types("\r")
	if code := s.ends(); code != 0 {
		t.Errorf("code %d:\n%s", code, s.text())
	}
	if data, err := os.ReadFile(filepath.Join(p.work(), "note")); err != nil || string(data) != "kept\n" {
		t.Errorf("the work: %q, %v", data, err)
	}
}

// Launches of one agent at the same instant all come up, each under a name of
// its own.
func TestLaunchesAtTheSameInstant(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	results := make([]result, 4)
	var all sync.WaitGroup
	for i := range results {
		all.Go(func() { results[i] = p.run("start", p.agent, "--yes", "--", fmt.Sprint("echo number ", i)) })
	}
	all.Wait()
	for i, got := range results {
		if want := fmt.Sprintf("number %d\n", i); got.code != 0 || got.stdout != want {
			t.Errorf("number %d: %+v", i, got)
		}
	}
}
