package e2e_test

import (
	"testing"
)

// TestStoppedFromAnotherTerminal: an agent that is stopped ends as it likes, with
// its own code, and is killed when it does not.
func TestStoppedFromAnotherTerminal(t *testing.T) {
	for _, at := range []struct{ platform, isolation string }{{"docker", "runc"}, {"docker", "runsc"}, {"native", "auto"}} {
		t.Run(at.platform+" "+at.isolation, func(t *testing.T) {
			p := newPerson(t, at.isolation, "", shell)
			for _, agent := range []struct {
				what, script string
				stop         []string
				code         int
			}{
				{"says nothing to it", "sleep 1000", nil, 143},
				{"is through in its own way", "trap 'echo saved >note; exit 7' TERM; while :; do read -r -t 1; done", nil, 7},
				{"does not listen", "trap '' TERM; while :; do read -r -t 1; done", []string{"--time", "1s"}, 137},
				{"has no time", "sleep 1000", []string{"--time", "0s"}, 137},
			} {
				s := onScreen(t, p.command("start", p.agent, "--platform", at.platform, "--cwd", "--yes", "--", "echo $((20 + 1))-up; "+agent.script))
				s.shows("21-up")
				if got := p.run(append([]string{"stop", "claude-bottle-" + p.agent}, agent.stop...)...); got.code != 0 {
					t.Errorf("%s: stop: %+v", agent.what, got)
				}
				s.shows("stopped by claude-bottle stop")
				if code := s.ends(); code != agent.code {
					t.Errorf("an agent that %s: code %d, want %d:\n%s", agent.what, code, agent.code, s.text())
				}
			}
			if got := p.run("cleanup", "--yes"); got.code != 0 {
				t.Errorf("cleanup: %+v", got)
			}
		})
	}
}
