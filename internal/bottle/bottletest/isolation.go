package bottletest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
	"claude-bottle/test/escape/attacks"
	"claude-bottle/test/escape/program"
)

func isolationRows() []row {
	return []row{
		{"every launch is probed", everyLaunchIsProbed},
		{"a program that is missing is told", missingProgramIsTold},
		{"attacks from inside", attacksFromInside},
	}
}

// everyLaunchIsProbed holds the platform to every kind of check but those
// that it declares.
func everyLaunchIsProbed(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	info, _, err := s.store.Load(b.Run())
	if err != nil || !strings.Contains(info.Isolation, "all closed") {
		t.Errorf("the ledger says %q, %v", info.Isolation, err)
	}
	verdict := verdictOf(t, s, b)
	for _, kind := range probe.Kinds() {
		checked := slices.ContainsFunc(verdict.Findings, isOf(kind))
		if declared := slices.Contains(s.config.Place.unprobed(), kind); checked == declared {
			t.Errorf("%q: checked %v, declared as unchecked %v", kind, checked, declared)
		}
	}
	if err := verdict.Err(); err != nil {
		t.Error(err)
	}
}

func missingProgramIsTold(t *testing.T, s *suite) {
	spec := s.spec()
	spec.Argv = []string{"no-such-program"}
	b := s.launch(t, spec)
	verdict := verdictOf(t, s, b)
	if at := slices.IndexFunc(verdict.Findings, isOf(probe.Program)); at < 0 || !verdict.Findings[at].Failed || verdict.Findings[at].Code != 127 {
		t.Errorf("found %+v", verdict.Findings)
	}
}

// attacksFromInside makes every attack that needs to know nothing of the world,
// and those against this machine. test/escape makes the rest, in a world of its
// own.
func attacksFromInside(t *testing.T, s *suite) {
	hosts, err := probe.OpenHosts(t.Context(), "conformance")
	if err != nil {
		t.Fatal(err)
	}
	defer hosts.Close()
	doors, err := hosts.Doors()
	if err != nil {
		t.Fatal(err)
	}
	targets := attacks.Targets{Nonce: "conformance", Files: []string{s.store.Root(), "/root/.ssh"}, Writable: s.config.Writable}
	for _, door := range doors {
		targets.Host = append(targets.Host, door.Address)
	}
	aim, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	spec := s.spec()
	spec.Cwd = program.Project(t)
	b := s.launch(t, spec)
	got := run(t, b, wire.Start{Argv: []string{"./escape", "-json", "-targets"}, Dir: spec.Workspace}, bytes.NewReader(aim))
	var results []attacks.Result
	if err := json.Unmarshal([]byte(got.stdout), &results); err != nil || len(results) < 100 {
		t.Fatalf("%d results, code %d, %v: %s", len(results), got.exit.Code, err, got.stderr)
	}
	stopped := 0
	for _, r := range results {
		declared, is := attacks.Declared(r.ID, string(s.config.Place))
		switch {
		case strings.HasPrefix(r.ID, "control/"), r.Outcome == attacks.Absent, is && declared.Holds(r.Outcome):
		case r.Outcome == attacks.Stopped:
			stopped++
		default:
			t.Errorf("%s: %q: %s", r.ID, r.Outcome, r.Happened)
		}
	}
	if stopped < 80 {
		t.Errorf("only %d were tried", stopped)
	}
}

func isOf(kind string) func(wire.Finding) bool {
	return func(f wire.Finding) bool { return f.Kind == kind }
}

func verdictOf(t *testing.T, s *suite, b bottle.Bottle) probe.Verdict {
	t.Helper()
	return Verdict(t, s.store, b.Run())
}

// Verdict is what the probe of a run's launch found.
func Verdict(t *testing.T, store *runs.Store, run runs.ID) probe.Verdict {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(store.Dir(run), bottle.IsolationFile))
	if err != nil {
		t.Fatal(err)
	}
	var verdict probe.Verdict
	if err := json.Unmarshal(data, &verdict); err != nil {
		t.Fatal(err)
	}
	return verdict
}
