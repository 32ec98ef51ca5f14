package bottletest

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
)

// killedRows end each process of a bottle in turn, as a crash would. What is
// lost is said, closing works, the work is kept and nothing is left.
func killedRows() []row {
	return []row{
		{"the guest", func(t *testing.T, s *suite) { lostPart(t, s, Guest) }},
		{"the gateway", func(t *testing.T, s *suite) { lostPart(t, s, Gateway) }},
		{"the launcher", orphanIsEnded},
		{"the agent", killedAgent},
		{"every other process", killedOthers},
	}
}

// killedAgent: the end of what was started is its own, and not the bottle's.
func killedAgent(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	if got := sh(t, b, "kill -9 $$"); got.exit.Code != 128+int(unix.SIGKILL) {
		t.Errorf("it ended with %+v", got.exit)
	}
	prints(t, b, "alive\n", "echo alive")
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	s.expectStopped(t, b.Run())
}

func killedOthers(t *testing.T, s *suite) {
	if s.config.Others == nil {
		t.Fatal("the place names no other process, and does not declare that it has none")
	}
	tried := 0
	for n := 0; ; n++ {
		b := s.launch(t, s.spec())
		prints(t, b, "", "echo done >file")
		others := s.config.Others(t, b)
		if n >= len(others) {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			break
		}
		tried++
		if err := unix.Kill(others[n], unix.SIGKILL); err != nil {
			t.Fatalf("process %d of %v: %v", n, others, err)
		}
		select {
		case <-b.Lost():
		case <-bounded(t).Done():
			t.Errorf("the loss of process %d of %v is not noticed", n, others)
		}
		s.endsWhole(t, b)
	}
	if tried == 0 {
		t.Error("there was none to kill")
	}
}

// endsWhole closes a bottle that lost something, and looks for its work.
func (s *suite) endsWhole(t *testing.T, b bottle.Bottle) {
	t.Helper()
	if b.Err() == nil {
		t.Error("what is lost is not said")
	}
	if err := b.Close(); err != nil {
		t.Errorf("close a lost bottle: %v", err)
	}
	s.expectStopped(t, b.Run())
	s.expectFile(t, b.Run())
}

// expectFile looks for the work of a bottle that said "done" in a file.
func (s *suite) expectFile(t *testing.T, id runs.ID) {
	t.Helper()
	if data, err := os.ReadFile(filepath.Join(s.store.Dir(id), bottle.WorkDir, "file")); err != nil || string(data) != "done\n" {
		t.Errorf("the work: %q, %v", data, err)
	}
}
