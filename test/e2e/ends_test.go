package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/moby/client"
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
	if code := s.ends(); code == 0 {
		t.Errorf("code %d:\n%s", code, s.text())
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
