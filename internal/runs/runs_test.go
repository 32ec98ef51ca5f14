package runs

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

func open(t *testing.T) *Store {
	t.Helper()
	store, err := Open(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func create(t *testing.T, s *Store, info Info) *Run {
	t.Helper()
	run, err := s.Create(info)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Release() })
	return run
}

func TestLedgerSurvivesItsProcess(t *testing.T) {
	s := open(t)
	run := create(t, s, Info{Name: "claude-bottle-demo", Agent: "demo"})
	network := Resource{Kind: "network", Name: "n"}
	container := Resource{Kind: "container", Name: "c"}
	if err := run.Record(network, container); err != nil {
		t.Fatal(err)
	}
	if err := run.Record(network); err != nil {
		t.Fatal(err)
	}
	if err := run.Forget(network); err != nil {
		t.Fatal(err)
	}
	code := 7
	err := run.Update(func(info *Info) { info.State, info.ExitCode, info.ID = Stopped, &code, "x" })
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(s.Root())
	if err != nil {
		t.Fatal(err)
	}
	info, resources, err := again.Load(run.ID())
	if err != nil {
		t.Fatal(err)
	}
	if info.ID != run.ID() || info.Agent != "demo" || info.State != Stopped || *info.ExitCode != 7 {
		t.Errorf("info is %+v", info)
	}
	if !slices.Equal(resources, []Resource{container}) {
		t.Errorf("resources are %v, want the container alone", resources)
	}
	if !reflect.DeepEqual(run.Info(), info) {
		t.Errorf("in memory %+v, on disk %+v", run.Info(), info)
	}
}

// What is recorded with the run is there from its first moment; what is gone
// leaves the ledger with the last word about it.
func TestFirstAndLastWriteHoldBoth(t *testing.T) {
	s := open(t)
	name, network := Resource{Kind: "name", Name: "n"}, Resource{Kind: "network", Name: "n"}
	run, err := s.Create(Info{Agent: "demo"}, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = run.Release() })
	if _, resources, err := s.Load(run.ID()); err != nil || !slices.Equal(resources, []Resource{name}) {
		t.Errorf("at first it holds %v, %v", resources, err)
	}
	if err := errors.Join(run.Record(name), run.Record(name, network)); err != nil {
		t.Fatal(err)
	}
	if err := run.Conclude(func(info *Info) { info.State, info.ID = Stopped, "x" }, name); err != nil {
		t.Fatal(err)
	}
	info, resources, err := s.Load(run.ID())
	if err != nil || info.State != Stopped || info.ID != run.ID() || !slices.Equal(resources, []Resource{network}) {
		t.Errorf("at last it is %+v and holds %v, %v", info, resources, err)
	}
}

// A sweep reads no run that is over and has nothing left; one that has
// something, or is changed again, it does.
func TestUnsettled(t *testing.T) {
	s := open(t)
	network := Resource{Kind: "network", Name: "n"}
	over, left, live := create(t, s, Info{Agent: "over"}), create(t, s, Info{Agent: "left"}), create(t, s, Info{Agent: "live"})
	stop := func(info *Info) { info.State = Stopped }
	if err := errors.Join(over.Record(network), over.Conclude(stop, network), left.Record(network), left.Update(stop)); err != nil {
		t.Fatal(err)
	}
	unsettled := func() (agents []string) {
		infos, err := s.Unsettled()
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range infos {
			agents = append(agents, info.Agent)
		}
		slices.Sort(agents)
		return agents
	}
	if got := unsettled(); !slices.Equal(got, []string{"left", "live"}) {
		t.Errorf("unsettled are %v", got)
	}
	if all, err := s.List(); err != nil || len(all) != 3 {
		t.Errorf("all are %v, %v", all, err)
	}
	if err := errors.Join(over.Record(network), live.Update(stop)); err != nil {
		t.Fatal(err)
	}
	if got := unsettled(); !slices.Equal(got, []string{"left", "over"}) {
		t.Errorf("later unsettled are %v", got)
	}
}

func TestIDsSortByStart(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var last ID
	for i := range 200 {
		id := newID(start.Add(time.Duration(i) * 37 * time.Hour))
		if !id.Valid() || len(id) != 13 {
			t.Fatalf("%q is not an id", id)
		}
		if id <= last {
			t.Fatalf("%q sorts before %q, which started earlier", id, last)
		}
		last = id
	}
	if a, b := newID(start), newID(start); a == b {
		t.Errorf("two runs of one moment have one id %q", a)
	}
	for _, bad := range []ID{"", "..", "../../etc/ab", "ABCDEFGHIJKLM", "abc", "abcdefghijkl/"} {
		if bad.Valid() {
			t.Errorf("%q passes for an id", bad)
		}
	}
}

func TestLockIsExclusive(t *testing.T) {
	s := open(t)
	run := create(t, s, Info{})
	if !s.Alive(run.ID()) {
		t.Error("a run whose lock is held is not alive")
	}
	if _, err := s.Lock(run.ID()); !errors.Is(err, ErrLocked) {
		t.Errorf("a second lock: %v, want ErrLocked", err)
	}
	if err := run.Release(); err != nil {
		t.Fatal(err)
	}
	if s.Alive(run.ID()) {
		t.Error("a released run is alive")
	}
	if err := run.Record(Resource{}); !errors.Is(err, ErrReleased) {
		t.Errorf("a record after release: %v, want ErrReleased", err)
	}
	again, err := s.Lock(run.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Record(Resource{Kind: "k", Name: "n"}); err != nil {
		t.Fatal(err)
	}
	if err := again.Discard(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Load(run.ID()); !errors.Is(err, ErrNotFound) {
		t.Errorf("after Discard: %v, want ErrNotFound", err)
	}
	if _, err := os.Lstat(run.Dir()); !os.IsNotExist(err) {
		t.Errorf("after Discard the directory: %v", err)
	}
}
