package bottle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
)

// IsolationFile is what the probe of a launch found, in the run's directory:
// a probe.Verdict.
const IsolationFile = "isolation.json"

// Launching is a launch under way: the run, whose lock it holds, and what has
// to be taken back. Every platform goes the same way:
//
//	l, err := bottle.Begin(store, plan, at, first…)
//	if err != nil {
//		return nil, err
//	}
//	defer func() {
//		if err != nil {
//			err = l.Fail(ctx, err)
//		}
//	}()
//	… l.Run.Record(…), l.Undo.Add(…), make it; again for each part …
//	teardown, err := l.Ready()
type Launching struct {
	Run  *runs.Run
	Undo Undo
	// Late says that something the launch asked for may still come to be although
	// all was taken back: nobody knows whether it was heard.
	Late bool
	// Verdict is what the isolation probe found. No bottle is ready without
	// one.
	Verdict probe.Verdict
}

// Begin makes the run of a plan, in the state runs.Launching. at says
// where the platform makes what it makes; resources are those that it will make
// first, recorded with the run.
func Begin(store *runs.Store, plan Plan, at runs.Place, resources ...runs.Resource) (*Launching, error) {
	if err := failpoint.Hit("bottle.launch.begin"); err != nil {
		return nil, err
	}
	run, err := store.Create(runs.Info{
		ID: plan.Run, Name: plan.Name, Agent: plan.Spec.Agent, Bottle: plan.Spec.Bottle,
		Platform: plan.Platform, Cwd: plan.Spec.Cwd, Dir: plan.Spec.Dir, Manifest: plan.Spec.Manifest, Place: at,
	}, resources...)
	if err != nil {
		return nil, err
	}
	return &Launching{Run: run}, nil
}

// Stopped is why a launch failed that a person asked to end, from elsewhere.
type Stopped struct {
	// Left is what could not be taken back; nil when all was.
	Left error
}

func (s *Stopped) Error() string {
	const stopped = "it was asked to stop while it was launched"
	if s.Left != nil {
		return stopped + ": " + s.Left.Error()
	}
	return stopped
}

func (s *Stopped) Unwrap() error { return s.Left }

// errStopped is a launch that was asked to stop and came to its end all the same.
var errStopped = errors.New("asked to stop")

// Fail takes everything back and returns cause, with what could not be undone
// behind it. When all is undone the run is gone; else, and after what may be
// Late, its ledger stays for the next Sweep. Of a launch that was asked to stop the
// error is Stopped, whatever that broke.
func (l *Launching) Fail(ctx context.Context, cause error) error {
	if l.Run.AskedToStop() {
		return &Stopped{Left: l.fail(ctx, nil)}
	}
	return l.fail(ctx, cause)
}

func (l *Launching) fail(ctx context.Context, cause error) error {
	if err := l.Undo.Run(ctx); err != nil {
		return errors.Join(cause, err, l.Run.Release())
	}
	if l.Late {
		return errors.Join(cause, l.outlast(), l.Run.Release())
	}
	if err := l.Run.Discard(); err != nil {
		return errors.Join(cause, err, l.Run.Release())
	}
	return cause
}

// outlast has the ledger stay until nothing can come any more. No agent was
// there: what was copied in is nobody's work.
func (l *Launching) outlast() error {
	if err := os.Remove(l.Run.Path(snapshotFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return l.Run.Update(func(info *runs.Info) { info.Ended = time.Now().UTC() })
}

// Ready marks the run as running: from here on its work is kept. On an error
// the launch still has to Fail.
func (l *Launching) Ready() (*Teardown, error) {
	if err := failpoint.Hit("bottle.launch.ready"); err != nil {
		return nil, err
	}
	if l.Run.AskedToStop() { // before there was anything to be stopped
		return nil, errStopped
	}
	if len(l.Verdict.Findings) == 0 {
		return nil, errors.New("nothing shows that the bottle is closed: it was not probed")
	}
	if err := l.Verdict.Err(); err != nil {
		return nil, err
	}
	if err := l.noteVerdict(); err != nil {
		return nil, fmt.Errorf("note what the probe found: %w", err)
	}
	err := l.Run.Update(func(info *runs.Info) {
		info.State, info.Isolation = runs.Running, l.Verdict.Summary()
	})
	if err != nil {
		return nil, fmt.Errorf("mark run %s as running: %w", l.Run.ID(), err)
	}
	return &Teardown{run: l.Run, undo: l.Undo.Release()}, nil
}

// noteVerdict is not synced: a run whose machine fails now is over.
func (l *Launching) noteVerdict() error {
	data, err := json.Marshal(l.Verdict)
	if err != nil {
		return err
	}
	return os.WriteFile(l.Run.Path(IsolationFile), data, 0o600)
}

// Teardown ends a launched bottle.
type Teardown struct {
	run  *runs.Run
	undo *Undo
	once sync.Once
	err  error

	mu   sync.Mutex // guards code
	code *int
}

// NoteExit has Close write down how the command is about to end: code is what it
// exits with. It comes before Close.
func (t *Teardown) NoteExit(code int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.code = &code
}

func (t *Teardown) exit() *int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.code
}

// Close removes everything but work, git and record, within CloseDeadline, and
// gives up the run's lock. Later and simultaneous callers
// get the first one's result. When a part cannot be removed, the error says
// which, and the run stays as it is for the next Sweep.
func (t *Teardown) Close() error {
	t.once.Do(func() { t.err = t.close() })
	return t.err
}

func (t *Teardown) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), CloseDeadline)
	defer cancel()
	err := failpoint.Hit("bottle.close.undo")
	if err == nil {
		err = t.undo.run(ctx)
	}
	if err != nil {
		return errors.Join(err, t.run.Release())
	}
	return finish(ctx, t.run, t.exit(), t.run.Resources())
}
