package bottletest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
)

// stillRows have each process of a bottle in turn stand still (SIGSTOP), as a
// debugger, a person, or another program of theirs may: whoever ends the bottle
// waits for none of them.
func stillRows() []row {
	return []row{
		{"the guest", func(t *testing.T, s *suite) { stillPart(t, s, Guest) }},
		{"the gateway", func(t *testing.T, s *suite) { stillPart(t, s, Gateway) }},
		{"the launcher", stillLauncher},
		{"every other process", stillOthers},
	}
}

func stillPart(t *testing.T, s *suite, part Part) {
	b := s.launch(t, s.spec())
	prints(t, b, "", "echo done >file")
	s.config.Signal(t, b, part, unix.SIGSTOP)
	s.endsInTime(t, b)
}

func stillOthers(t *testing.T, s *suite) {
	if s.config.Others == nil {
		t.Fatal("the place names no other process, and does not declare that it has none")
	}
	b := s.launch(t, s.spec())
	prints(t, b, "", "echo done >file")
	others := s.config.Others(t, b)
	if len(others) == 0 {
		t.Error("there is none that could stand still")
	}
	for _, pid := range others {
		if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
			t.Error(err)
		}
	}
	s.endsInTime(t, b)
}

func (s *suite) endsInTime(t *testing.T, b bottle.Bottle) {
	t.Helper()
	began := time.Now()
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(began); took > bottle.CloseDeadline {
		t.Errorf("closing took %v", took)
	}
	s.expectStopped(t, b.Run())
	s.expectFile(t, b.Run())
}

// stillLauncher: another process ends the bottle of one that stands still, and
// what it left is swept when it has ended.
func stillLauncher(t *testing.T, s *suite) {
	id, launcher := s.elsewhere(t)
	if err := launcher.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	platform := s.platform(t)
	if err := platform.Remove(bounded(t), id); err != nil {
		t.Errorf("remove: %v", err)
	}
	if status := s.status(t, id); status != nil {
		t.Errorf("removed, and listed: %+v", status)
	}
	_ = launcher.Process.Kill()
	_ = launcher.Wait() // it was killed
	if _, err := bottle.Sweep(bounded(t), s.store, platform); err != nil {
		t.Error(err)
	}
	s.expectStopped(t, id)
}
