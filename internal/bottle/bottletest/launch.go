package bottletest

import (
	"context"
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
)

func launchRows() []row {
	return []row{
		{"preparing makes nothing", preparingMakesNothing},
		{"a plan survives serialisation", launchSerialised},
		{"a bottle is listed", bottleIsListed},
		{"another process opens it", openedElsewhere},
		{"an unknown run is not opened", unknownRun},
		{"cancelled at any moment", launchCancelled},
	}
}

func preparingMakesNothing(t *testing.T, s *suite) {
	before := s.config.Observe(t)
	platform := s.platform(t)
	plan := s.prepare(t, platform, s.spec())
	if plan.Platform != platform.Name() || plan.Name == "" || !plan.Run.Valid() || plan.Dir != s.store.Dir(plan.Run) {
		t.Errorf("plan: platform %q, name %q, run %q, directory %q", plan.Platform, plan.Name, plan.Run, plan.Dir)
	}
	if after := s.config.Observe(t); !slices.Equal(before, after) {
		t.Errorf("before: %q, after: %q", before, after)
	}
	s.expectRuns(t)
}

// expectRuns checks which runs the store has.
func (s *suite) expectRuns(t *testing.T, want ...runs.ID) {
	t.Helper()
	infos, err := s.store.List()
	if err != nil {
		t.Fatal(err)
	}
	var got []runs.ID
	for _, info := range infos {
		got = append(got, info.ID)
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the store has the runs %q, want %q", got, want)
	}
}

func launchSerialised(t *testing.T, s *suite) {
	platform := s.platform(t)
	data, err := json.Marshal(s.prepare(t, platform, s.spec()))
	if err != nil {
		t.Fatal(err)
	}
	var plan bottle.Plan
	if err := json.Unmarshal(data, &plan); err != nil {
		t.Fatal(err)
	}
	b, err := platform.Launch(bounded(t), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	prints(t, b, "hello\n", "echo hello")
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

func bottleIsListed(t *testing.T, s *suite) {
	spec := s.spec()
	b := s.launch(t, spec)
	info, resources, err := s.store.Load(b.Run())
	if err != nil {
		t.Fatal(err)
	}
	if info.State != runs.Running || info.Name != b.Name() || info.Agent != spec.Agent || info.Platform != s.platform(t).Name() {
		t.Errorf("ledger: %+v", info)
	}
	if len(resources) == 0 {
		t.Error("the ledger names no resource of a running bottle")
	}
	if !s.store.Alive(b.Run()) {
		t.Error("nobody holds the run's lock")
	}
	status := s.status(t, b.Run())
	if status == nil {
		t.Fatal("the bottle is not listed")
	}
	if !status.Running || status.Name != b.Name() || status.Agent != spec.Agent || time.Since(status.Started).Abs() > time.Hour {
		t.Errorf("status: %+v", status)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if status := s.status(t, b.Run()); status != nil {
		t.Errorf("a closed bottle is listed: %+v", status)
	}
}

// status is what the platform says of a run; nil when it does not know it.
func (s *suite) status(t *testing.T, id runs.ID) *bottle.Status {
	t.Helper()
	all, err := s.platform(t).List(bounded(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range all {
		if status.Run == id {
			return &status
		}
	}
	return nil
}

func openedElsewhere(t *testing.T, s *suite) {
	launched := s.launch(t, s.spec())
	opened, err := s.platform(t).Open(bounded(t), launched.Run())
	if err != nil {
		t.Fatal(err)
	}
	if opened.Run() != launched.Run() || opened.Name() != launched.Name() {
		t.Errorf("opened %s %s, launched %s %s", opened.Run(), opened.Name(), launched.Run(), launched.Name())
	}
	prints(t, launched, "", "echo shared >"+bottle.Workspace+"/note")
	prints(t, opened, "shared\n", "cat "+bottle.Workspace+"/note")
	if err := opened.Close(); err != nil {
		t.Errorf("close the opened bottle: %v", err)
	}
	select {
	case <-launched.Lost():
	case <-bounded(t).Done():
		t.Error("the launcher does not notice that its bottle was ended")
	}
	if err := launched.Close(); err != nil {
		t.Errorf("close after it was ended elsewhere: %v", err)
	}
	s.expectStopped(t, launched.Run())
}

// expectStopped checks that of a run only what is kept is left.
func (s *suite) expectStopped(t *testing.T, id runs.ID) {
	t.Helper()
	info, _, err := s.store.Load(id)
	if err != nil {
		t.Fatal(err)
	}
	if info.State != runs.Stopped || info.Ended.IsZero() {
		t.Errorf("the run is %s, ended %v", info.State, info.Ended)
	}
	if s.store.Alive(id) {
		t.Error("the lock of a stopped run is held")
	}
	for _, gone := range []string{bottle.HomeDir, bottle.EtcDir} {
		if exists(filepath.Join(s.store.Dir(id), gone)) {
			t.Errorf("%s of a stopped run is left", gone)
		}
	}
	for _, kept := range []string{bottle.WorkDir, bottle.GitDir, bottle.RecordDir} {
		if !exists(filepath.Join(s.store.Dir(id), kept)) {
			t.Errorf("%s of a stopped run is gone", kept)
		}
	}
}

func unknownRun(t *testing.T, s *suite) {
	if b, err := s.platform(t).Open(bounded(t), s.store.Propose()); err == nil {
		t.Errorf("opened %s", b.Name())
	}
	if err := s.platform(t).Remove(bounded(t), s.store.Propose()); err != nil {
		t.Errorf("removing what is missing is success, not: %v", err)
	}
}

// launchCancelled ends the launch after a while that is different each time.
// Whatever was under way, all of it or nothing is there.
func launchCancelled(t *testing.T, s *suite) {
	platform := s.platform(t)
	for after := time.Duration(0); after < time.Second; after = after*3/2 + time.Millisecond {
		plan := s.prepare(t, platform, s.spec())
		ctx, cancel := context.WithTimeout(context.Background(), after)
		b, err := platform.Launch(ctx, plan, environ.Secrets{})
		cancel()
		if err == nil {
			prints(t, b, "whole\n", "echo whole")
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			return
		}
		if s.status(t, plan.Run) != nil {
			t.Errorf("cancelled after %v (%v): the platform still has the run", after, err)
		}
		s.expectRuns(t)
	}
}
