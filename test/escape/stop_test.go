//go:build linux

package escape_test

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestStopped stops bottles from elsewhere: an agent ends as it likes, with its
// own code, and one that does not listen is killed.
func TestStopped(t *testing.T) {
	sampled(t, func(t *testing.T, p *person) {
		for _, agent := range []struct {
			what string
			args []string
			stop []string
			code int
		}{
			{"says nothing to it", []string{"wait"}, nil, 143},
			{"is through in its own way", []string{"wait", "7"}, nil, 7},
			{"does not listen", []string{"wait", "never"}, []string{"--time", "1s"}, 137},
			{"has no time", []string{"wait"}, []string{"--time", "0s"}, 137},
		} {
			b, first := p.startBeside(t, "an agent that "+agent.what, agent.args...)
			if first != "waiting\n" {
				t.Errorf("it says %q", first)
			}
			if got := p.run(nil, append([]string{"stop", "claude-bottle-" + p.agent}, agent.stop...)...); got.code != 0 {
				t.Errorf("stop: code %d\n%s", got.code, got.stderr)
			}
			b.ended = true
			var exit *exec.ExitError
			if err := b.cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != agent.code {
				t.Errorf("an agent that %s: %v, want %d", agent.what, err, agent.code)
			}
			if said := b.stderr.String(); !strings.Contains(said, "claude-bottle: stopped by claude-bottle stop\n") || strings.Contains(said, "error: ") {
				t.Errorf("an agent that %s:\n%s", agent.what, said)
			}
		}
	})
}
