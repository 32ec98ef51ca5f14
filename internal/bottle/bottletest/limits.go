package bottletest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/wire"
	"claude-bottle/test/escape/attacks"
	"claude-bottle/test/escape/program"
)

// limitRows take more than a bottle may have.
func limitRows() []row {
	return []row{
		{"processes", func(t *testing.T, s *suite) {
			limited(t, s, "processes", "pids", bottle.Limits{PIDs: 200}, func(t *testing.T, b bottle.Bottle) {
				if taken := take(t, b, "hog/processes"); taken.Count > 200 || !strings.Contains(taken.Error, "unavailable") {
					t.Errorf("%+v", taken)
				}
			})
		}},
		{"memory", func(t *testing.T, s *suite) {
			limited(t, s, "memory", "memory", bottle.Limits{Memory: 128 << 20}, func(t *testing.T, b bottle.Bottle) {
				if taken := take(t, b, "hog/memory"); taken.Error != "signal: killed" {
					t.Errorf("%+v", taken)
				}
				prints(t, b, "alive\n", "echo alive")
			})
		}},
		{"processors", func(t *testing.T, s *suite) {
			limited(t, s, "processors", "cpus", bottle.Limits{CPUs: 0.5}, halfAProcessor)
		}},
		{"disk", func(t *testing.T, s *suite) {
			limited(t, s, "disk", "disk", bottle.Limits{Disk: 64 << 20}, endsByItsDisk)
		}},
	}
}

// limited launches with a limit and holds the place to it. One that declares
// that it may refuse does so in Prepare, by the limit's name.
func limited(t *testing.T, s *suite, row, name string, limits bottle.Limits, hold func(*testing.T, bottle.Bottle)) {
	t.Helper()
	spec := s.spec()
	spec.Cwd = program.Project(t)
	spec.Limits = limits
	platform := s.platform(t)
	plan, err := platform.Prepare(bounded(t), spec)
	if declared, is := s.config.Place.declared("limits/" + row); err != nil && is && declared.Refused {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("refused, and %s is not named: %v", name, err)
		}
		t.Logf("refused: %v", err)
		return
	}
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	if plan.Spec.Limits != limits {
		t.Errorf("the plan says %+v", plan.Spec.Limits)
	}
	hold(t, s.launch(t, spec))
}

// take has the program take something.
func take(t *testing.T, b bottle.Bottle, hog string) attacks.Taken {
	t.Helper()
	got := run(t, b, wire.Start{Argv: []string{"./escape", "hog", hog}, Dir: bottle.Workspace}, nil)
	var taken attacks.Taken
	if err := json.Unmarshal([]byte(got.stdout), &taken); err != nil {
		t.Fatalf("code %d, %v: %s%s", got.exit.Code, err, got.stdout, got.stderr)
	}
	return taken
}

// halfAProcessor: of so many seconds on every processor it gets half of one.
func halfAProcessor(t *testing.T, b bottle.Bottle) {
	t.Helper()
	got := run(t, b, wire.Start{Argv: []string{"./escape", "burn"}, Dir: bottle.Workspace}, nil)
	var burnt attacks.Burnt
	if err := json.Unmarshal([]byte(got.stdout), &burnt); err != nil {
		t.Fatalf("code %d, %v: %s%s", got.exit.Code, err, got.stdout, got.stderr)
	}
	if most := burnt.Time*6/10 + 100*time.Millisecond; burnt.CPU > most {
		t.Errorf("in %s it had %s of processors, more than %s", burnt.Time, burnt.CPU, most)
	}
}

func endsByItsDisk(t *testing.T, b bottle.Bottle) {
	t.Helper()
	_, err := b.Exec(bounded(t), wire.Start{Argv: []string{"./escape", "hog", "hog/disk"}, Dir: bottle.Workspace}, wire.Streams{})
	if err == nil {
		t.Error("a bottle that uses more disk than it may goes on")
	}
	select {
	case <-b.Lost():
	case <-bounded(t).Done():
		t.Fatal("it is not lost")
	}
	if err := b.Err(); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("it is not said why: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
