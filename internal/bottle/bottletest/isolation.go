package bottletest

import (
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
)

func isolationRows() []row {
	return []row{
		{"every launch is probed", everyLaunchIsProbed},
		{"a program that is missing is told", missingProgramIsTold},
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
		if declared := slices.Contains(s.config.Unprobed, kind); checked == declared {
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
