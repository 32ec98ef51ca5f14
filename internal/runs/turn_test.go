package runs

import (
	"context"
	"errors"
	"testing"
)

// TestTurns: so many have a turn at once, one more waits until one is over or
// its caller gives up.
func TestTurns(t *testing.T) {
	root := t.TempDir()
	open := func() *Store {
		s, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := open()
	var releases []func()
	for range turns() {
		release, err := open().Turn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		releases = append(releases, release)
	}
	given, giveUp := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := first.Turn(given)
		ended <- err
	}()
	giveUp()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Fatalf("with all turns taken: %v", err)
	}
	go func() {
		release, err := first.Turn(t.Context())
		if err == nil {
			release()
		}
		ended <- err
	}()
	releases[0]()
	if err := <-ended; err != nil {
		t.Fatalf("with one turn over: %v", err)
	}
	for _, release := range releases[1:] {
		release()
	}
	if infos, err := first.List(); err != nil || len(infos) != 0 {
		t.Errorf("the store has %v, %v", infos, err)
	}
}
