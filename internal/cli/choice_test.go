package cli

import (
	"context"
	"errors"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
)

// readyOrNot is a platform of which only its name and whether it is ready count.
type readyOrNot struct {
	bottle.Platform
	name string
	err  error
}

func (p readyOrNot) Name() string                { return p.name }
func (p readyOrNot) Ready(context.Context) error { return p.err }

func TestTheFirstPlatformThatIsReadyIsTaken(t *testing.T) {
	away := hint.With(errors.New("no engine answers"), "start it")
	lacking := errors.New("bubblewrap is not installed")
	for _, test := range []struct {
		name          string
		docker        error
		native        error
		open          bool
		platform, why string
		failure       string
	}{
		{"an engine answers", nil, nil, true, "docker", byDefault, ""},
		{"none answers", away, nil, true, "native", "chosen: no engine answers", ""},
		{"nothing is there", away, lacking, true, "docker", byDefault, "no engine answers; and native: bubblewrap is not installed"},
		{"somebody chose", away, nil, false, "docker", byDefault, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			docker, native := readyOrNot{name: "docker", err: test.docker}, readyOrNot{name: "native", err: test.native}
			h := &host{platform: docker, why: byDefault, open: test.open, platforms: []bottle.Platform{native, docker}}
			err := h.settle(t.Context(), []string{"docker", "native"})
			switch {
			case test.failure == "" && err != nil, test.failure != "" && (err == nil || err.Error() != test.failure):
				t.Errorf("settle: %v, want %q", err, test.failure)
			case test.failure != "" && !strings.Contains(hint.Of(err), "start it"):
				t.Errorf("the advice is %q", hint.Of(err))
			case h.platform.Name() != test.platform || h.why != test.why:
				t.Errorf("%s (%s), want %s (%s)", h.platform.Name(), h.why, test.platform, test.why)
			}
		})
	}
}

func TestANamedEngineIsMeant(t *testing.T) {
	for name, meant := range map[string]bool{"DOCKER_HOST": true, "DOCKER_CONTEXT": true, "OTHER": false} {
		app := &App{Env: Env{Lookup: func(asked string) (string, bool) {
			value, ok := map[string]string{name: "x"}[asked]
			return value, ok
		}}}
		if got := app.namesEngine(); got != meant {
			t.Errorf("%s: %v", name, got)
		}
	}
}
