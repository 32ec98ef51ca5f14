//go:build linux

package bottletest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
)

// Fake is a platform for tests. Its bottles are processes of the test binary
// in namespaces of their own, with the real guest as process 1 and the run's
// real home, workspace and etc mounted where they belong: stage, ledger, exec
// protocol and teardown are those of every platform. What is missing is the
// isolation: a bottle sees the host's file system and has no gateway.
//
// A test binary that uses it calls [Main] first in its TestMain.
type Fake struct {
	store  *runs.Store
	lookup func(string) (string, bool)
	engine engine
}

// NewFake returns a platform whose bottles are known to all that share the
// store. lookup is the launcher's environment.
func NewFake(store *runs.Store, lookup func(string) (string, bool)) *Fake {
	return &Fake{store: store, lookup: lookup, engine: engine{filepath.Join(store.Root(), "fake")}}
}

// Name is "fake".
func (f *Fake) Name() string { return "fake" }

// lastSuffix is the highest number that a bottle's name gets.
const lastSuffix = 99

// Prepare proposes a name and refuses what needs a real platform.
func (f *Fake) Prepare(ctx context.Context, spec bottle.Spec) (bottle.Plan, error) {
	if err := ctx.Err(); err != nil {
		return bottle.Plan{}, err
	}
	switch {
	case spec.Isolation == bottle.Runsc:
		return bottle.Plan{}, hint.With(errors.New("isolation runsc: the fake platform has none"), "choose the docker platform")
	case !strings.HasPrefix(spec.Home, "/home/"):
		return bottle.Plan{}, fmt.Errorf("home %s: the fake platform's are below /home", spec.Home)
	case os.Getuid() != 0 && spec.UID != os.Getuid():
		return bottle.Plan{}, fmt.Errorf("uid %d: the fake platform has only the launcher's own, %d", spec.UID, os.Getuid())
	}
	name, err := f.freeName(spec)
	if err != nil {
		return bottle.Plan{}, err
	}
	id := f.store.Propose()
	return bottle.Plan{
		Run: id, Dir: f.store.Dir(id), Name: name, Platform: f.Name(), Why: "a test asked for it", Spec: spec,
		Warnings: []string{"fake platform: nothing is isolated and no limit is enforced"},
	}, nil
}

func (f *Fake) pinned() string {
	name, _ := f.lookup("CLAUDE_BOTTLE_CONTAINER")
	return name
}

func (f *Fake) freeName(spec bottle.Spec) (string, error) {
	if name := f.pinned(); name != "" {
		if f.engine.has(name) {
			return "", errPinned(name)
		}
		return name, nil
	}
	for n := 1; n <= lastSuffix; n++ {
		if name := nameOf(spec.Slug, n); !f.engine.has(name) {
			return name, nil
		}
	}
	return "", errNames(spec.Slug)
}

func nameOf(slug string, n int) string {
	name := "claude-bottle-" + slug
	if n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}

func errPinned(name string) error {
	return hint.With(fmt.Errorf("bottle %s already exists (pinned by CLAUDE_BOTTLE_CONTAINER)", name),
		"claude-bottle stop "+name+", or unset CLAUDE_BOTTLE_CONTAINER")
}

func errNames(slug string) error {
	return hint.With(fmt.Errorf("no free name from %s to %s", nameOf(slug, 1), nameOf(slug, lastSuffix)), "claude-bottle ps, and stop some")
}

// Launch starts a bottle.
func (f *Fake) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (_ bottle.Bottle, err error) {
	l, err := bottle.Begin(f.store, plan, runs.Place{Endpoint: f.engine.dir})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = l.Fail(ctx, err)
		}
	}()
	object, err := f.claim(l, plan)
	if err != nil {
		return nil, err
	}
	if _, err := bottle.Stage(ctx, l.Run, plan, nil); err != nil {
		return nil, err
	}
	nonce := rand.Text()
	if err := os.WriteFile(l.Run.Path(bottle.NonceFile), []byte(nonce), 0o644); err != nil {
		return nil, err
	}
	inside, err := f.engine.start(l, plan.Spec, object)
	if err != nil {
		return nil, err
	}
	if err := inside.boot(ctx, plan, secrets, nonce); err != nil {
		return nil, err
	}
	if l.Verdict, err = inside.probe(ctx, plan.Spec); err != nil {
		return nil, err
	}
	teardown, err := l.Ready()
	if err != nil {
		return nil, err
	}
	return &fakeBottle{engine: f.engine, run: l.Run.ID(), name: object.Name, inside: inside, close: teardown.Close}, nil
}

// claim wins a name: the proposed one, or the next that is free when another
// launch was faster.
func (f *Fake) claim(l *bottle.Launching, plan bottle.Plan) (object, error) {
	o := object{Run: plan.Run, Name: plan.Name, Agent: plan.Spec.Agent, Started: l.Run.Info().Started}
	for n := 1; n <= lastSuffix; n++ {
		resource := runs.Resource{Kind: "bottle", Name: o.Name}
		if err := l.Run.Record(resource); err != nil {
			return object{}, err
		}
		err := f.engine.create(o)
		if err == nil {
			l.Undo.Add("name "+o.Name, func(context.Context) error { return f.engine.remove(o) })
			return o, l.Run.Update(func(info *runs.Info) { info.Name = o.Name })
		}
		if !errors.Is(err, os.ErrExist) {
			return object{}, err
		}
		if f.pinned() != "" {
			return object{}, errPinned(o.Name)
		}
		if err := l.Run.Forget(resource); err != nil {
			return object{}, err
		}
		o.Name = nameOf(plan.Spec.Slug, n+1)
	}
	return object{}, errNames(plan.Spec.Slug)
}

// Open returns a running bottle.
func (f *Fake) Open(_ context.Context, run runs.ID) (bottle.Bottle, error) {
	object, err := f.engine.find(run)
	if err != nil {
		return nil, err
	}
	if object == nil || !object.alive() {
		return nil, hint.With(fmt.Errorf("bottle of run %s is not running", run), "claude-bottle ps")
	}
	return f.opened(*object)
}

// List returns the bottles of the store.
func (f *Fake) List(context.Context) ([]bottle.Status, error) {
	objects, err := f.engine.objects()
	var found []bottle.Status
	for _, o := range objects {
		found = append(found, bottle.Status{Run: o.Run, Name: o.Name, Agent: o.Agent, Started: o.Started, Running: o.alive()})
	}
	return found, err
}

// Remove ends a run's bottle.
func (f *Fake) Remove(ctx context.Context, run runs.ID) error {
	object, err := f.engine.find(run)
	if err != nil || object == nil {
		return err
	}
	if err := object.kill(ctx); err != nil {
		return err
	}
	return f.engine.remove(*object)
}
