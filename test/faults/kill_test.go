package faults_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// life is a whole run: the agent writes a file, says so, and ends.
const life = "echo kept >marker; echo wrote-it"

func (p *place) life(env ...string) result {
	p.t.Helper()
	return p.runWith(env, "start", p.agent, "--yes", "--cwd", "--", life)
}

// wrote says whether the agent had written its file when the command ended.
func (r result) wrote() bool { return strings.Contains(r.stdout, "wrote-it") }

// discover returns the failpoints on the way of an act.
func discover(p *place, act func(env ...string) result) []point {
	p.t.Helper()
	list := filepath.Join(p.t.(*testing.T).TempDir(), "points")
	if got := act("CLAUDE_BOTTLE_FAILPOINT_LIST=" + list); got.code != 0 {
		p.t.Fatalf("without a fault: %+v", got)
	}
	found := points(list)
	if len(found) == 0 {
		p.t.Fatal("no failpoint was passed")
	}
	return found
}

// killed is an act with the process killed at a point. Points that are passed
// more or less often from one time to the next may not be reached: false.
func killed(p *place, at point, act func(env ...string) result) (result, bool) {
	p.t.Helper()
	got := act(at.env("kill")...)
	if got.code != -1 {
		p.t.Logf("%v was not reached", at)
		return got, false
	}
	tally.killed.Add(1)
	return got, true
}

func TestLauncherKilled(t *testing.T) { isolations(t, launcherKilled) }

func launcherKilled(t *testing.T, isolation string) {
	p := newPlaceOf(t, isolation)
	first := discover(p, p.life)
	p.backByFirst("a first launch", true)
	p.warm()
	usual := discover(p, p.life)
	p.back("a launch", true)
	t.Logf("%d points on the way of a launch, %d of the first one", len(usual), len(first))
	if len(usual) < 40 {
		t.Errorf("too few points: %v", usual)
	}
	missed := 0
	for _, at := range some(usual, 5) {
		got, reached := killed(p, at, p.life)
		if !reached {
			missed++
		}
		p.back(at.String(), got.wrote())
	}
	if missed > len(usual)/5 {
		t.Errorf("%d of %d points were not reached", missed, len(usual))
	}
	if !all() {
		return
	}
	for _, at := range first {
		if slices.ContainsFunc(usual, func(other point) bool { return other.name == at.name }) {
			continue
		}
		fresh := newPlaceOf(t, isolation)
		got, _ := killed(fresh, at, fresh.life)
		fresh.backByFirst(at.String(), got.wrote())
	}
}

// backByFirst is back for a place where the killed launch was the first: what
// is kept for later launches is no remains.
func (p *place) backByFirst(what string, wrote bool) {
	p.t.Helper()
	p.run("ps")
	p.warmed(what)
	p.back(what, wrote)
}

// warmed takes over as the state before what the program keeps: images with
// its label and a name, and the files that are no run's.
func (p *place) warmed(what string) {
	p.t.Helper()
	now, err := p.observer.Before(p.t.Context())
	p.check(err)
	p.before = p.before.Without("file", keptImage)
	for _, line := range now.Of("file", keptImage) {
		run := strings.Contains(line, filepath.Join(p.root(), "runs")+"/") && !strings.Contains(line, "/.lock")
		if run || strings.Contains(line, "/bin/note-") { // a cleanup removes either
			continue
		}
		p.before = append(p.before, line)
	}
	p.t.Logf("%s: %d things are kept for later launches", what, len(p.before))
}

func TestExecKilled(t *testing.T) {
	needAll(t)
	p := newPlace(t).warm()
	launcher := p.agentAtWork()
	run := func(env ...string) result {
		return p.runWith(env, "exec", p.name(), "--", "sh", "-c", "echo by exec >>extra")
	}
	for _, at := range discover(p, run) {
		killed(p, at, run)
		if got := p.run("exec", p.name(), "--", "cat", "marker"); got.stdout != "kept\n" {
			t.Errorf("%v: the bottle is no longer usable: %+v", at, got)
		}
	}
	p.endWork(launcher)
	p.back("exec", true)
}

// TestLookKilled kills a command that looks into the image for the hosts of
// presets: the container that it looks into goes with the next command.
func TestLookKilled(t *testing.T) {
	p := newPlace(t).warm()
	manifest := "bottles: {b: {isolation: runc, egress: {presets: [maven, debian]}}}\nagents: {" + p.agent + ": {bottle: b, harness: {command: [sh, -c]}}}\n"
	p.check(os.WriteFile(filepath.Join(p.home, "claude-bottle.yaml"), []byte(manifest), 0o644))
	kept := filepath.Join(p.root(), "images")
	look := func(env ...string) result {
		got := p.runWith(env, "why", p.agent, "https://repo1.maven.org/")
		p.check(os.RemoveAll(kept)) // so that the next one looks too
		return got
	}
	ways := discover(p, look)
	made := slices.IndexFunc(ways, func(at point) bool { return at.name == "docker.image-open" })
	if made < 0 {
		t.Fatalf("no container on the way: %v", ways)
	}
	p.back("a look", false)
	for _, at := range some(ways[made:], 3) {
		killed(p, at, look)
		p.back(at.String(), false)
	}
}

func TestSweepKilled(t *testing.T) { isolations(t, sweepKilled) }

func sweepKilled(t *testing.T, isolation string) {
	p := newPlaceOf(t, isolation).warm()
	ps := func(env ...string) result { return p.runWith(env, "ps") }
	for _, leave := range []struct {
		name   string
		orphan func()
	}{
		{"a running bottle", p.orphan},
		{"a launch half way", func() { p.life("CLAUDE_BOTTLE_FAILPOINT=docker.agent-start:kill:1") }},
	} {
		leave.orphan()
		found := discover(p, ps)
		p.back(leave.name, false)
		for _, at := range some(found, 2) {
			leave.orphan()
			killed(p, at, ps)
			p.back("sweep of "+leave.name+" killed at "+at.String(), leave.name == "a running bottle")
		}
		if !all() {
			return
		}
	}
}

// TestEndingKilled kills the commands that end runs and remove them.
func TestEndingKilled(t *testing.T) {
	needAll(t)
	p := newPlace(t).warm()
	stop := func(env ...string) result { return p.runWith(env, "stop", p.name()) }
	launcher := p.agentAtWork()
	found := discover(p, stop)
	launcher.wait()
	p.back("stop", true)
	for _, at := range found {
		launcher := p.agentAtWork()
		killed(p, at, stop)
		p.endWork(launcher)
		p.back("stop killed at "+at.String(), true)
	}
	cleanup := func(env ...string) result { return p.runWith(env, "cleanup", "--yes") }
	leave := func() {
		p.orphan()
		p.run("ps")
		p.life()
	}
	leave()
	found = discover(p, cleanup)
	p.back("cleanup", false)
	for _, at := range found {
		leave()
		killed(p, at, cleanup)
		p.back("cleanup killed at "+at.String(), false)
	}
}
