//go:build linux

package native

import (
	"context"
	"os"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
)

// warm is a supervisor that was started before there is anything to supervise.
type warm struct {
	who     who
	started chan struct{} // closed when what follows is written
	program platform.Program
	parts   *supervisor
	err     error
}

// Warm starts the processes of the next launch for a user while its caller
// still reads and plans: half of the time of a launch is that of processes that
// start. They know nothing and make nothing but their own namespaces, and end
// with this process. A launch takes them; release ends those that none took.
func (p *Platform) Warm(uid, gid int) (release func()) {
	root := p.config.Store.Root()
	if _, err := os.Stat(platform.ProgramsDir(root)); err != nil {
		return func() {} // the first launch of all makes the state directory, as it must be
	}
	run := p.config.Store.Propose()
	w := &warm{who: p.who(run, uid, gid), started: make(chan struct{})}
	p.warmed.Store(w)
	go func() {
		defer close(w.started)
		w.program, w.parts, w.err = p.start(w.who)
	}()
	return func() {
		if p.warmed.CompareAndSwap(w, nil) {
			w.end()
		}
	}
}

func (p *Platform) who(run runs.ID, uid, gid int) who {
	return who{run: run, record: p.config.Store.Dir(run) + "/" + bottle.RecordDir, uid: uid, gid: gid}
}

func (p *Platform) start(w who) (program platform.Program, parts *supervisor, err error) {
	program, err = platform.InstallProgram(p.config.Binary, p.config.Store.Root())
	if err != nil {
		return program, nil, err
	}
	parts, err = startSupervisor(program, p.config.Binary, w)
	return program, parts, err
}

// propose is the id of the next run: that of the warm supervisor, if any.
func (p *Platform) propose() runs.ID {
	if w := p.warmed.Load(); w != nil {
		return w.who.run
	}
	return p.config.Store.Propose()
}

// end ends one that nobody took.
func (w *warm) end() {
	<-w.started
	if w.parts == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*endPatience)
	defer cancel()
	_ = w.parts.end(ctx) // it is killed when it does not go by itself
	_ = w.parts.gone()
}

// startParts takes the warm supervisor, or starts one.
func (l *launch) startParts() (program platform.Program, err error) {
	want := l.platform.who(l.Run.ID(), l.plan.Spec.UID, l.plan.Spec.GID)
	if w := l.platform.warmed.Swap(nil); w != nil {
		if w.who == want {
			<-w.started
			l.parts = w.parts
			return w.program, w.err
		}
		w.end()
	}
	program, l.parts, err = l.platform.start(want)
	return program, err
}
