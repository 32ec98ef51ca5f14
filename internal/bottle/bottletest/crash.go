//go:build failpoints

package bottletest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
)

// What a process of the test binary does in place of the tests; see act.
const (
	actVariable = "CLAUDE_BOTTLE_TEST_ACT"
	actLife     = "life"  // launch, run something, close
	actSweep    = "sweep" // sweep once
)

// crashRows die at every failpoint there is.
func crashRows() []row {
	runs := []func(t *testing.T, s *suite){
		func(t *testing.T, s *suite) { s.everywhere(t, actLife, "kill", false) },
		func(t *testing.T, s *suite) { s.everywhere(t, actLife, "error", false) },
		func(t *testing.T, s *suite) { s.everywhere(t, actSweep, "kill", true) },
		func(t *testing.T, s *suite) { s.everywhere(t, actSweep, "error", true) },
		func(t *testing.T, s *suite) { s.partsDie(t) },
	}
	var rows []row
	for i, name := range crashNames() {
		rows = append(rows, row{name, runs[i]})
	}
	return rows
}

// everywhere finds the failpoints on the way of act, then lets a process die
// or fail at each, and checks that sweeping makes all of it good. orphaned
// leaves something to sweep first.
func (s *suite) everywhere(t *testing.T, act, action string, orphaned bool) {
	list := filepath.Join(t.TempDir(), "points")
	if orphaned {
		s.orphan(t)
	}
	if out, err := s.act(t, act, "CLAUDE_BOTTLE_FAILPOINT_LIST="+list); err != nil {
		t.Fatalf("%s: %v\n%s", act, err, out)
	}
	points := pointsIn(t, list)
	t.Logf("%d failpoints on the way of %s", len(points), act)
	if len(points) < 5 {
		t.Fatalf("too few failpoints: %q", points)
	}
	var tried []*suite
	for _, point := range points {
		one := s.config.suite(s.config.open(t))
		tried = append(tried, one)
		t.Run(point, func(t *testing.T) {
			name, times, _ := strings.Cut(point, "#")
			kept := map[runs.ID]bool{}
			if orphaned {
				kept[one.orphan(t)] = true
			}
			out, err := one.act(t, act, "CLAUDE_BOTTLE_FAILPOINT="+name+":"+action+":"+times)
			var exit *exec.ExitError
			if killed := errors.As(err, &exit) && !exit.Exited(); action == "kill" && !killed {
				t.Fatalf("it does not die: %v\n%s", err, out)
			}
			one.sweepUntilClean(t)
			one.expectEnded(t, kept)
		})
	}
	// What an engine was asked for by a launcher that died may come late.
	for _, one := range tried {
		one.sweepUntilClean(t)
	}
}

// sweepUntilClean sweeps until the platform has nothing of the store.
func (s *suite) sweepUntilClean(t *testing.T) {
	t.Helper()
	var statuses []bottle.Status
	within(grace, func() bool {
		_, err := bottle.Sweep(bounded(t), s.store, s.platform(t))
		if err != nil {
			t.Errorf("sweep: %v", err)
		}
		if statuses, err = s.platform(t).List(bounded(t)); err != nil {
			t.Errorf("list: %v", err)
		}
		return len(statuses) == 0
	})
	if len(statuses) > 0 {
		t.Errorf("the platform still has %+v", statuses)
	}
}

// expectEnded checks that every run is stopped, gone, or has no work and waits
// for what may come late, and that those that were kept are stopped.
func (s *suite) expectEnded(t *testing.T, kept map[runs.ID]bool) {
	t.Helper()
	infos, err := s.store.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range infos {
		if info.State == runs.Launching && !info.Ended.IsZero() {
			continue
		}
		s.expectStopped(t, info.ID)
		delete(kept, info.ID)
	}
	for id := range kept {
		t.Errorf("the work of run %s is lost", id)
	}
}

// pointsIn are the failpoints passed, in order, each with how often it was
// passed before and with that.
func pointsIn(t *testing.T, list string) []string {
	t.Helper()
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	passed := map[string]int{}
	var points []string
	for point := range strings.FieldsSeq(string(data)) {
		passed[point]++
		points = append(points, fmt.Sprintf("%s#%d", point, passed[point]))
	}
	return points
}

// act runs an act in another process over this suite's store.
func (s *suite) act(t *testing.T, act string, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := s.acting(ctx, t, act, env...).CombinedOutput()
	return string(out), err
}

func (s *suite) acting(ctx context.Context, t *testing.T, act string, env ...string) *exec.Cmd {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(ctx, binary, "-test.run=^"+name+"$", "-test.timeout="+patience.String())
	cmd.Env = append(os.Environ(), storeVariable+"="+s.store.Root(), actVariable+"="+act)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}

// acts is what the other process does; false when it is to be a launcher.
func acts(t *testing.T, s *suite) bool {
	var err error
	switch act := os.Getenv(actVariable); act {
	case "":
		return false
	case actSweep:
		_, err = bottle.Sweep(bounded(t), s.store, s.platform(t))
	case actLife:
		err = s.live(t)
	default:
		err = fmt.Errorf("no act %q", act)
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func (s *suite) live(t *testing.T) error {
	platform := s.platform(t)
	plan, err := platform.Prepare(bounded(t), s.spec())
	if err != nil {
		return err
	}
	b, err := platform.Launch(bounded(t), plan, environ.Secrets{})
	if err != nil {
		return err
	}
	prints(t, b, "", "echo work >file")
	return b.Close()
}
