package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
)

// away is a platform that does not answer.
type away struct{ readyOrNot }

func (away) List(context.Context) ([]bottle.Status, error) {
	return nil, errors.New("no engine answers")
}

// Remove does not either.
func (away) Remove(context.Context, runs.ID) error { return errors.New("no engine answers") }

// TestCleanupOfADamagedRunWithoutAnEngine: nobody knows where such a run was; an
// engine that this machine does not have keeps it no longer.
func TestCleanupOfADamagedRunWithoutAnEngine(t *testing.T) {
	for name, ready := range map[string]error{"none": errors.New("no engine answers"), "one that fails": nil} {
		store, err := runs.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		run, err := store.Create(runs.Info{Platform: "docker"})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(run.Release(), os.Truncate(run.Path("ledger.json"), 20)); err != nil {
			t.Fatal(err)
		}
		h := &host{store: store, platforms: []bottle.Platform{away{readyOrNot{name: "docker", err: ready}}}}
		err = remains{Run: run.ID(), State: string(runs.Damaged), kept: true}.remove(t.Context(), h)
		_, _, there := store.Load(run.ID())
		if gone := errors.Is(there, runs.ErrNotFound); (err == nil) != gone || gone != (ready != nil) {
			t.Errorf("%s: %v, and the run is gone: %v", name, err, gone)
		}
	}
}

// TestCleanupWithoutAnEngine says nothing of an engine to a person who never had
// one.
func TestCleanupWithoutAnEngine(t *testing.T) {
	for what, test := range map[string]struct {
		ran    string            // the platform of a run that is known
		env    map[string]string // what the person named
		ready  error
		warned bool
	}{
		"nothing of it is known": {"native", nil, errors.New("no engine answers"), false},
		"it ran something":       {"docker", nil, errors.New("no engine answers"), true},
		"the person names it":    {"native", map[string]string{"DOCKER_HOST": "unix:///nowhere"}, errors.New("no engine answers"), true},
		"it answers otherwise":   {"native", nil, nil, true},
	} {
		t.Run(what, func(t *testing.T) {
			store, err := runs.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			run, err := store.Create(runs.Info{Name: "claude-bottle-a", Agent: "a", Platform: test.ran})
			if err != nil {
				t.Fatal(err)
			}
			if err := run.Release(); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			app := &App{Streams: Streams{Err: &said}, Env: Env{Lookup: func(name string) (string, bool) { v, ok := test.env[name]; return v, ok }}}
			opts := &cleanupOptions{App: app, silent: map[string]bool{}}
			h := &host{store: store, platforms: []bottle.Platform{away{readyOrNot{name: "docker", err: test.ready}}}}
			if _, err := opts.remains(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(said.String(), "warning: platform docker: no engine answers"); got != test.warned || !opts.silent["docker"] {
				t.Errorf("it says %q", said.String())
			}
		})
	}
}
