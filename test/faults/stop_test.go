package faults_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStoppedWhileLaunching has somebody stop a run at every failpoint of its
// launch: `start` ends as that of a bottle which is stopped, with 137, and without
// an error. What was being made when it was asked is removed too.
func TestStoppedWhileLaunching(t *testing.T) {
	t.Run("docker", func(t *testing.T) { stoppedWhileLaunching(newPlace(t).warm()) })
	t.Run("native", func(t *testing.T) { stoppedWhileLaunching(nativePlace(t)) })
}

func stoppedWhileLaunching(p *place) {
	t := p.t
	found := discover(p, p.life)
	p.back("a launch", true)
	first := slices.IndexFunc(found, func(at point) bool { return at.name == "runs.create.after-name" })
	last := slices.IndexFunc(found, func(at point) bool { return at.name == "bottle.launch.ready" })
	if first < 0 || last < first {
		t.Fatalf("no launch: %v", found)
	}
	for _, at := range some(found[first:last], 2) { // at the last one it is ready before it stands still
		r := p.begin(p.command(at.env("stop"), "start", p.agent, "--yes", "--cwd", "--", life))
		if !r.stopped() {
			t.Logf("%v was not reached", at)
			p.back(at.String(), r.wait().wrote())
			continue
		}
		run := named(r.stderr.text())[0]
		stop := p.begin(p.command(nil, "stop", run))
		p.asked(run, stop)
		p.check(r.cmd.Process.Signal(syscall.SIGCONT))
		stopped, got := stop.wait(), r.wait()
		tally.stopped.Add(1)
		if stopped.code != 0 || strings.TrimSpace(stopped.stdout) != run {
			t.Errorf("stop at %v: %+v", at, stopped)
		}
		if got.code != 137 || !strings.Contains(got.stderr, "stopped by claude-bottle stop") || strings.Contains(got.stderr, "error: ") {
			t.Errorf("stopped at %v: %+v", at, got)
		}
		p.back("stopped at "+at.String(), false)
	}
}

// asked waits until a run was asked to stop.
func (p *place) asked(run string, stop *running) {
	p.t.Helper()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		if _, err := os.Lstat(filepath.Join(p.root(), "runs", run, "stop")); err == nil {
			return
		}
		select {
		case <-again.C:
		case <-stop.ended:
			p.t.Errorf("stop: %+v", stop.wait())
			return
		}
	}
}
