package faults_test

import (
	"syscall"
	"testing"

	"github.com/moby/moby/client"
)

// parts are a bottle's containers, by role, and how to find them.
var parts = []string{"agent", "gateway"}

// killPart kills the first process of a part, as the host sees it; false when
// it is not running.
func (p *place) killPart(role string) bool {
	p.t.Helper()
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner, "claude-bottle.role="+role)
	found, err := p.api.ContainerList(p.t.Context(), client.ContainerListOptions{Filters: filters})
	p.check(err)
	for _, container := range found.Items {
		inspected, err := p.api.ContainerInspect(p.t.Context(), container.ID, client.ContainerInspectOptions{})
		if err != nil || inspected.Container.State == nil || inspected.Container.State.Pid == 0 {
			continue // it ended meanwhile
		}
		if syscall.Kill(inspected.Container.State.Pid, syscall.SIGKILL) == nil {
			return true
		}
	}
	return false
}

// TestPartKilled stops the launcher at every failpoint, kills the gateway or
// the guest there, and lets the launcher go on: it ends, and leaves nothing.
func TestPartKilled(t *testing.T) { isolations(t, partKilled) }

func partKilled(t *testing.T, isolation string) {
	p := newPlaceOf(t, isolation).warm()
	found := discover(p, p.life)
	p.back("a launch", true)
	// Before the first start there is nothing to kill.
	for i, at := range found {
		if at.name == "docker.agent-start" || at.name == "docker.gateway-start" {
			found = found[i:]
			break
		}
	}
	for _, at := range some(found, 1) {
		for _, role := range parts {
			r := p.begin(p.command(at.env("stop"), "start", p.agent, "--yes", "--cwd", "--", life))
			if !r.stopped() {
				t.Logf("%v was not reached", at)
				p.back(at.String(), r.wait().wrote())
				continue
			}
			what := role + " killed at " + at.String()
			if p.killPart(role) {
				tally.stopped.Add(1)
			} else {
				what = "no " + role + " to kill at " + at.String()
			}
			p.check(r.cmd.Process.Signal(syscall.SIGCONT))
			got := r.wait()
			if got.code == 2 || got.code == -1 {
				t.Errorf("%s: %+v", what, got)
			}
			p.back(what, got.wrote())
		}
	}
}

// TestPartKilledAtWork kills them while the agent works, and while somebody
// else runs a command beside it.
func TestPartKilledAtWork(t *testing.T) {
	needAll(t)
	p := newPlace(t).warm()
	for _, role := range parts {
		launcher := p.agentAtWork()
		exec := p.begin(p.command(nil, "exec", p.name(), "--", "sh", "-c", "echo listening; read -r line"))
		if !exec.says("listening") {
			t.Errorf("exec: %+v", exec.wait())
		}
		if !p.killPart(role) {
			t.Fatalf("there is no %s to kill", role)
		}
		tally.stopped.Add(1)
		if role == "agent" {
			if got := launcher.wait(); got.code == 0 {
				t.Errorf("the agent's container was killed: %+v", got)
			}
		}
		p.endWork(exec)
		p.endWork(launcher)
		p.back(role+" killed at work", true)
	}
}
