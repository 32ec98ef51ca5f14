package bottle

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
)

// remover is a platform of which only Remove is used. Bottles that really run
// are in bottletest.
type remover struct {
	name string
	fail map[runs.ID]error

	mu      sync.Mutex // guards removed
	removed []runs.ID
}

func (r *remover) Name() string { return r.name }

func (r *remover) Prepare(context.Context, Spec) (Plan, error) {
	return Plan{}, errors.ErrUnsupported
}

func (r *remover) Open(context.Context, runs.ID) (Bottle, error) {
	return nil, errors.ErrUnsupported
}

func (r *remover) List(context.Context) ([]Status, error) { return nil, nil }

func (r *remover) Launch(context.Context, Plan, environ.Secrets) (Bottle, error) {
	return nil, errors.ErrUnsupported
}

func (r *remover) Remove(_ context.Context, id runs.ID) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.removed = append(r.removed, id)
	return r.fail[id]
}

func openStore(t *testing.T) *runs.Store {
	t.Helper()
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// orphan makes a run that got so far before its launcher died.
func orphan(t *testing.T, store *runs.Store, info runs.Info, staged bool) runs.ID {
	t.Helper()
	run, err := store.Create(info)
	if err != nil {
		t.Fatal(err)
	}
	if staged {
		spec := Spec{Home: DefaultHome, Workspace: Workspace, UID: os.Getuid(), GID: os.Getgid()}
		if _, err := Stage(t.Context(), run, Plan{Spec: spec}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Release(); err != nil {
		t.Fatal(err)
	}
	return run.ID()
}

func ids(infos []runs.Info) []runs.ID {
	var found []runs.ID
	for _, info := range infos {
		found = append(found, info.ID)
	}
	return found
}

func state(t *testing.T, store *runs.Store, id runs.ID) runs.State {
	t.Helper()
	info, _, err := store.Load(id)
	if errors.Is(err, runs.ErrNotFound) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.State
}

func TestSweep(t *testing.T) {
	store := openStore(t)
	early := orphan(t, store, runs.Info{Platform: "p"}, false)
	staged := orphan(t, store, runs.Info{Platform: "p"}, true)
	running := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	bare := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, false)
	stopped := orphan(t, store, runs.Info{Platform: "p", State: runs.Stopped}, true)
	foreign := orphan(t, store, runs.Info{Platform: "other", State: runs.Running}, true)
	stuck := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	damaged := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	write(t, filepath.Join(store.Dir(damaged), "ledger.json"), "{")
	alive, err := store.Create(runs.Info{Platform: "p", State: runs.Running})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = alive.Release() }()

	busy := errors.New("network is busy")
	platform := &remover{name: "p", fail: map[runs.ID]error{stuck: busy}}
	swept, err := Sweep(t.Context(), store, platform)
	if !errors.Is(err, busy) || !strings.Contains(err.Error(), string(stuck)) {
		t.Errorf("error: %v", err)
	}
	if got, want := ids(swept.Stopped), []runs.ID{staged, running, bare}; !slices.Equal(got, want) {
		t.Errorf("stopped %q, want %q", got, want)
	}
	if got := ids(swept.Discarded); !slices.Equal(got, []runs.ID{early}) {
		t.Errorf("discarded %q, want %q", got, early)
	}
	slices.Sort(platform.removed)
	want := []runs.ID{early, staged, running, bare, stuck}
	if slices.Sort(want); !slices.Equal(platform.removed, want) {
		t.Errorf("removed %q, want %q", platform.removed, want)
	}
	for id, want := range map[runs.ID]runs.State{
		early: "", staged: runs.Stopped, running: runs.Stopped, bare: runs.Stopped, stopped: runs.Stopped,
		foreign: runs.Running, stuck: runs.Running, alive.ID(): runs.Running,
	} {
		if got := state(t, store, id); got != want {
			t.Errorf("run %s is %q, want %q", id, got, want)
		}
	}
	if store.Alive(stuck) {
		t.Error("a run that could not be removed stays locked: the next sweep cannot try again")
	}

	platform.fail, platform.removed = nil, nil
	swept, err = Sweep(t.Context(), store, platform)
	if err != nil || !slices.Equal(ids(swept.Stopped), []runs.ID{stuck}) || !slices.Equal(platform.removed, []runs.ID{stuck}) {
		t.Errorf("the next sweep: %+v, removed %q, %v", swept, platform.removed, err)
	}
}

func TestSweepIsCancelled(t *testing.T) {
	store := openStore(t)
	id := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	platform := &remover{name: "p", fail: map[runs.ID]error{id: context.Canceled}}
	if _, err := Sweep(ctx, store, platform); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	if got := state(t, store, id); got != runs.Running || store.Alive(id) {
		t.Errorf("the run is %s, alive: %v", got, store.Alive(id))
	}
}

func TestDiscard(t *testing.T) {
	store := openStore(t)
	platform := &remover{name: "p"}
	stopped := orphan(t, store, runs.Info{Platform: "p", State: runs.Stopped}, true)
	running := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	damaged := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	write(t, filepath.Join(store.Dir(damaged), "ledger.json"), "{")

	kept, err := ListKept(t.Context(), store)
	if err != nil || len(kept) != 2 || kept[0].Info.ID != stopped || kept[1].Info.State != runs.Damaged || kept[0].Bytes == 0 {
		t.Errorf("kept: %+v, %v", kept, err)
	}
	for range 2 { // the second time it is gone
		if err := Discard(t.Context(), store, stopped, platform); err != nil {
			t.Error(err)
		}
	}
	if err := Discard(t.Context(), store, running, platform); err == nil || state(t, store, running) != runs.Running || store.Alive(running) {
		t.Errorf("a run that may be running was discarded, or is locked: %v", err)
	}
	platform.fail = map[runs.ID]error{damaged: errors.New("busy")}
	if err := Discard(t.Context(), store, damaged, platform); err == nil {
		t.Error("a damaged run is discarded although its resources are left")
	}
	platform.fail = nil
	if err := Discard(t.Context(), store, damaged, platform); err != nil || !slices.Contains(platform.removed, damaged) {
		t.Errorf("damaged: %v", err)
	}
	infos, err := store.List()
	if err != nil || !slices.Equal(ids(infos), []runs.ID{running}) {
		t.Errorf("left: %+v, %v", infos, err)
	}
}

// TestSweepLooksAgain: what a launcher asked an engine for just before it was
// killed may appear after the sweep.
func TestSweepLooksAgain(t *testing.T) {
	store := openStore(t)
	platform := &remover{name: "p"}
	late := func(staged bool) runs.ID {
		id := orphan(t, store, runs.Info{Platform: "p"}, staged)
		change(t, store, id, func(run *runs.Run) error { return run.Record(runs.Resource{Kind: "network", Name: "n"}) })
		return id
	}
	early, staged := late(false), late(true)
	running := orphan(t, store, runs.Info{Platform: "p", State: runs.Running}, true)
	change(t, store, running, func(run *runs.Run) error { return run.Record(runs.Resource{Kind: "network", Name: "n"}) })

	sweep := func(want ...runs.ID) Swept {
		t.Helper()
		platform.removed = nil
		swept, err := Sweep(t.Context(), store, platform)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(platform.removed)
		if slices.Sort(want); !slices.Equal(platform.removed, want) {
			t.Errorf("removed %q, want %q", platform.removed, want)
		}
		return swept
	}
	if swept := sweep(early, staged, running); len(swept.Stopped) != 2 || len(swept.Discarded) != 0 {
		t.Errorf("the first sweep: %+v", swept)
	}
	if swept := sweep(early, staged); len(swept.Stopped)+len(swept.Discarded) != 0 {
		t.Errorf("the second sweep: %+v", swept)
	}
	for _, id := range []runs.ID{early, staged} {
		change(t, store, id, func(run *runs.Run) error {
			return run.Update(func(info *runs.Info) { info.Ended = info.Ended.Add(-2 * settle) })
		})
	}
	if swept := sweep(early, staged); len(swept.Stopped) != 0 || !slices.Equal(ids(swept.Discarded), []runs.ID{early}) {
		t.Errorf("once nothing can come: %+v", swept)
	}
	sweep()
	if state(t, store, staged) != runs.Stopped || state(t, store, early) != "" {
		t.Errorf("staged %s, early %s", state(t, store, staged), state(t, store, early))
	}
}

// TestSweepAfterTheClockWasSetBack: a launch that died, as its ledger says, at a
// time that is still to come waits a minute from now on, and not until then.
func TestSweepAfterTheClockWasSetBack(t *testing.T) {
	store := openStore(t)
	platform := &remover{name: "p"}
	for _, staged := range []bool{false, true} {
		id := orphan(t, store, runs.Info{Platform: "p"}, staged)
		change(t, store, id, func(run *runs.Run) error { return run.Record(runs.Resource{Kind: "network", Name: "n"}) })
		sweep := func() {
			t.Helper()
			if _, err := Sweep(t.Context(), store, platform); err != nil {
				t.Fatal(err)
			}
		}
		move := func(by time.Duration) {
			t.Helper()
			change(t, store, id, func(run *runs.Run) error {
				return run.Update(func(info *runs.Info) { info.Ended = info.Ended.Add(by) })
			})
		}
		sweep()
		move(48 * time.Hour)
		sweep()
		move(-2 * settle)
		sweep()
		if info, resources, err := store.Load(id); staged && (err != nil || len(resources) > 0 || info.State != runs.Stopped) || !staged && !errors.Is(err, runs.ErrNotFound) {
			t.Errorf("staged %v: %+v, %v, %v", staged, info, resources, err)
		}
	}
}

func change(t *testing.T, store *runs.Store, id runs.ID, change func(*runs.Run) error) {
	t.Helper()
	run, err := store.Lock(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(run), run.Release()); err != nil {
		t.Fatal(err)
	}
}

// TestElsewhere: what a run left with an engine that does not answer now stays
// in its ledger until that does, while its work is there at once; a person who
// discards the run forgets it.
func TestElsewhere(t *testing.T) {
	store := openStore(t)
	platform := &remover{name: "p", fail: map[runs.ID]error{}}
	left := runs.Resource{Kind: "container", Name: "claude-bottle-a"}
	var all []runs.ID
	for _, info := range []runs.Info{
		{Platform: "p", State: runs.Running}, {Platform: "p"}, {Platform: "p", State: runs.Running},
	} {
		id := orphan(t, store, info, info.State == runs.Running)
		platform.fail[id] = ErrElsewhere
		run, err := store.Lock(id)
		if err == nil {
			err = errors.Join(run.Record(left), run.Release())
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, id)
	}
	if err := End(t.Context(), store, platform, all[2]); !errors.Is(err, ErrElsewhere) {
		t.Errorf("stopped: %v", err)
	}
	for _, when := range []string{"at first", "again"} {
		if _, err := Sweep(t.Context(), store, platform); !errors.Is(err, ErrElsewhere) {
			t.Errorf("swept %s: %v", when, err)
		}
		for _, id := range all {
			info, resources, err := store.Load(id)
			if err != nil || info.State != runs.Stopped || !slices.Equal(resources, []runs.Resource{left}) {
				t.Errorf("%s: %+v, %v, %v", when, info, resources, err)
			}
		}
	}
	if err := Discard(t.Context(), store, all[1], platform); err != nil {
		t.Errorf("discarded: %v", err)
	}
	delete(platform.fail, all[0])
	platform.removed = nil
	if _, err := Sweep(t.Context(), store, platform); !errors.Is(err, ErrElsewhere) || !slices.Contains(platform.removed, all[0]) {
		t.Errorf("with its engine back: removed %v, %v", platform.removed, err)
	}
}
