package faults_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/hoststate"
)

// ends are the signals by which a person or a system ends a launch, and the
// code that shells expect of it.
var ends = []struct {
	signal syscall.Signal
	code   int
}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}}

// TestSignalled sends signals to launchers: each undoes its launch, exits with
// the signal's code, and leaves nothing for the next command.
func TestSignalled(t *testing.T) {
	p := newPlace(t).warm()
	p.signalledAtPoints()
	p.signalledWhileCopying()
	p.signalledWhileBuilding()
	p.back("launches that got signals", false)
}

// signalledAtPoints stops the launcher at every failpoint of a launch, sends a
// signal, and lets it go on.
func (p *place) signalledAtPoints() {
	p.t.Helper()
	found := discover(p, p.life)
	p.back("a launch", true)
	// At the last point it has launched, and the signal may be the agent's.
	ready := slices.IndexFunc(found, func(at point) bool { return at.name == "bottle.launch.ready" })
	if ready < 20 {
		p.t.Fatalf("too few points before a bottle is ready: %v", found)
	}
	for i, at := range some(found[:ready], 4) {
		for _, end := range some(ends[i%2:], 1) {
			r := p.begin(p.command(at.env("stop"), "start", p.agent, "--yes", "--cwd", "--", life))
			what := fmt.Sprintf("%v at %v", end.signal, at)
			if !r.stopped() {
				p.t.Logf("%v was not reached", at)
				p.back(what, r.wait().wrote())
				continue
			}
			p.signalled(what, r, end.signal, end.code)
		}
	}
}

// signalled sends a signal to a launcher that is stopped, lets it go on, and
// wants it to undo all and end with code.
func (p *place) signalled(what string, r *running, signal syscall.Signal, code int) {
	p.t.Helper()
	tally.signalled.Add(1)
	p.check(r.cmd.Process.Signal(signal))
	p.check(r.cmd.Process.Signal(syscall.SIGCONT))
	p.undone(what, r, code)
}

// undone wants a launcher that got a signal to end with code, in words for
// people, with nothing left before any other command is run.
func (p *place) undone(what string, r *running, code int) {
	p.t.Helper()
	got := r.wait()
	if got.code != code || got.wrote() || !strings.Contains(got.stderr, "error: interrupted by SIG") {
		p.t.Errorf("%s: %+v, want code %d", what, got, code)
	}
	but := append([]string{"file", hoststate.Kept}, p.but...)
	left, err := p.observer.Back(p.t.Context(), p.before, answers, but...)
	p.check(err)
	runs, err := filepath.Glob(filepath.Join(p.root(), "runs", "[0-9a-z]*")) // not its lock
	p.check(err)
	if left != "" || len(runs) > 0 {
		p.t.Errorf("%s: left: %v\n%s", what, runs, left)
	}
}

// signalledWhileCopying sends a signal when some of the project's files
// are in the run's work, and others are not yet.
func (p *place) signalledWhileCopying() {
	p.t.Helper()
	const files = 4000
	for i := range files {
		p.check(os.WriteFile(filepath.Join(p.project, "file-"+itoa(i)), []byte("text\n"), 0o600))
	}
	copied := func() int {
		found, err := filepath.Glob(filepath.Join(p.root(), "runs", "*", "work", "file-*"))
		p.check(err)
		return len(found)
	}
	for _, end := range ends {
		r := p.begin(p.command(nil, "start", p.agent, "--yes", "--cwd", "--", life))
		p.until("a file is copied", r, func() bool { return copied() > 0 })
		p.check(r.cmd.Process.Signal(syscall.SIGSTOP))
		if !r.stopped() {
			p.t.Fatalf("it ended: %+v", r.wait())
		}
		if n := copied(); n == files {
			p.t.Errorf("all %d files were copied already", n)
		}
		p.signalled(fmt.Sprintf("%v while copying", end.signal), r, end.signal, end.code)
	}
}

// signalledWhileBuilding sends a signal while the engine runs a step of
// the image's build.
func (p *place) signalledWhileBuilding() {
	p.t.Helper()
	base := "slow-" + strings.TrimPrefix(p.agent, "faults-") // nothing that is ours by its name
	p.slowBase(base)
	p.env = append(slices.DeleteFunc(p.env, func(v string) bool { return strings.HasPrefix(v, "CLAUDE_BOTTLE_IMAGE=") }),
		"CLAUDE_BOTTLE_BASE_IMAGE="+base)
	// By which launchers wait for another's build; it stays.
	p.before = append(p.before, "file "+filepath.Join(p.root(), "build.lock")+" -rw-------")
	filters := client.Filters{}.Add("ancestor", base)
	steps := func(all bool) []container.Summary {
		list, err := p.api.ContainerList(p.t.Context(), client.ContainerListOptions{All: all, Filters: filters})
		p.check(err)
		return list.Items
	}
	for _, end := range ends {
		r := p.begin(p.command(nil, "start", p.agent, "--yes", "--cwd", "--", life))
		p.until("a step of the build runs", r, func() bool { return len(steps(false)) > 0 })
		p.check(r.cmd.Process.Signal(end.signal))
		what := fmt.Sprintf("%v while building", end.signal)
		p.undone(what, r, end.code)
		if left := steps(true); len(left) > 0 {
			p.t.Errorf("%s: the build's container is left: %v", what, left)
		}
	}
}

// slowBase makes an image on which the recipe's first step takes for ever.
func (p *place) slowBase(name string) {
	p.t.Helper()
	p.check(engine.ShellWith(p.t.Context(), p.api, name, map[string]string{"apt-get": "exec sleep 1000\n"}))
	p.t.Cleanup(func() {
		_, err := p.api.ImageRemove(context.WithoutCancel(p.t.Context()), name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
		if err != nil {
			p.t.Error(err)
		}
	})
}

// until asks until done says yes, while r runs.
func (p *place) until(what string, r *running, done func() bool) {
	p.t.Helper()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for !done() {
		select {
		case <-again.C:
		case <-r.ended:
			p.t.Fatalf("%s: it ended before: %+v", what, r.wait())
		}
	}
}
