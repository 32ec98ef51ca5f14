package bottletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

func teardownRows() []row {
	return []row{
		{"what is kept", whatIsKept},
		{"close twice", closeTwice},
		{"close by several", closeBySeveral},
		{"close while a process runs", closeWhileRunning},
		{"use after close", useAfterClose},
		{"a cancelled process ends", cancelledProcessEnds},
		{"children do not outlive the bottle", childrenEnd},
		{"the agent kills everything it can", agentKillsAll},
		{"a home that resists", resistingHome},
		{"removed from outside", removedFromOutside},
	}
}

func whatIsKept(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	prints(t, b, "", `echo work >file; echo cache >"$HOME/cache"`)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	s.expectStopped(t, b.Run())
	if !exists(filepath.Join(s.store.Dir(b.Run()), bottle.WorkDir, "file")) {
		t.Error("the work is gone")
	}
	kept, err := bottle.ListKept(bounded(t), s.store)
	if err != nil || len(kept) != 1 || kept[0].Info.ID != b.Run() || kept[0].Bytes == 0 || kept[0].Summary.Added != 1 {
		t.Fatalf("kept: %+v, %v", kept, err)
	}
	if err := bottle.Discard(bounded(t), s.store, b.Run(), s.platform(t)); err != nil {
		t.Fatal(err)
	}
	s.expectRuns(t)
}

func closeTwice(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	for range 3 {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	s.expectStopped(t, b.Run())
}

func closeBySeveral(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			// Whoever is back may rely on it.
			if info, _, err := s.store.Load(b.Run()); err != nil || info.State != runs.Stopped {
				t.Errorf("after Close the run is %s, %v", info.State, err)
			}
		})
	}
	all.Wait()
}

// running starts a process that runs until it is ended, and returns the
// channel of its end.
func running(t *testing.T, ctx context.Context, b bottle.Bottle, script string) <-chan error { //nolint:revive // t goes first in tests
	t.Helper()
	ended, ready := make(chan error, 1), make(chan struct{})
	out := newWatcher(func(text string) {
		if text == "ready\n" {
			close(ready)
		}
	})
	go func() {
		exit, err := b.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", "echo ready; " + script}}, wire.Streams{Stdout: out})
		if err == nil && exit.Code == 0 {
			err = errUnexpected
		}
		ended <- err
	}()
	select {
	case <-ready:
	case err := <-ended:
		t.Fatalf("%s: ended too early: %v", script, err)
	case <-bounded(t).Done():
		t.Fatalf("%s: does not start", script)
	}
	return ended
}

// expectEnd waits for a process that running started.
func expectEnd(t *testing.T, ended <-chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		if errors.Is(err, errUnexpected) {
			t.Error("a process that was ended reports success")
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error("a process ends by its caller's deadline alone")
		}
		return err
	case <-bounded(t).Done():
		t.Fatal("a process does not end")
		return nil
	}
}

func closeWhileRunning(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	first := running(t, bounded(t), b, "exec sleep 1000")
	second := running(t, bounded(t), b, "trap '' TERM INT HUP; while :; do sleep 0.1; done")
	if err := b.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	_, _ = expectEnd(t, first), expectEnd(t, second)
	s.expectStopped(t, b.Run())
}

func useAfterClose(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if exit, err := b.Exec(bounded(t), wire.Start{Argv: []string{"true"}}, wire.Streams{}); err == nil {
		t.Errorf("a closed bottle runs a process: %+v", exit)
	}
	if _, err := s.platform(t).Open(bounded(t), b.Run()); err == nil {
		t.Error("a closed bottle can be opened")
	}
}

// cancelledProcessEnds cancels the second process: the first may have the
// boot stream, whose end is the bottle's.
func cancelledProcessEnds(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	first := running(t, bounded(t), b, "exec sleep 1000")
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	second := running(t, ctx, b, "echo $$ >mark; exec sleep 1001")
	cancel()
	if err := expectEnd(t, second); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	eventually(t, "the cancelled process is gone", func() bool {
		return sh(t, b, `kill -0 "$(cat mark)"`).exit.Code != 0
	})
	select {
	case err := <-first:
		t.Errorf("the other process ended too: %v", err)
	default:
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	_ = expectEnd(t, first)
}

func childrenEnd(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	var marks []string // of this process alone: other suites may run beside it
	for n := range 3 {
		marks = append(marks, fmt.Sprintf("1000.%d%d", os.Getpid(), n+1))
	}
	prints(t, b, "", `sleep $1 & (setsid sleep $2 >/dev/null 2>&1 &); nohup sh -c 'trap "" TERM HUP; sleep $1' sh $3 >/dev/null 2>&1 &`, marks...)
	eventually(t, "the children run", func() bool { return countProcesses(t, marks) >= 3 })
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "no child is left on the host", func() bool { return countProcesses(t, marks) == 0 })
}

// countProcesses counts those that sleep for one of the given times.
func countProcesses(t *testing.T, marks []string) int {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, path := range paths {
		data, _ := os.ReadFile(path) // it may have ended meanwhile
		for _, mark := range marks {
			if bytes.Equal(data, []byte("sleep\x00"+mark+"\x00")) {
				count++
			}
		}
	}
	return count
}

func lostPart(t *testing.T, s *suite, part Part) {
	b := s.launch(t, s.spec())
	prints(t, b, "whole\n", "echo whole; echo done >file")
	if err := b.Err(); err != nil {
		t.Errorf("nothing is lost: %v", err)
	}
	s.config.Signal(t, b, part, unix.SIGKILL)
	select {
	case <-b.Lost():
	case <-bounded(t).Done():
		t.Fatalf("the loss of the %s is not noticed", part)
	}
	if err := b.Err(); err == nil || !strings.Contains(err.Error(), string(part)) {
		t.Errorf("what is lost, the %s, is not said: %v", part, err)
	}
	if part == Guest {
		if exit, err := b.Exec(bounded(t), wire.Start{Argv: []string{"true"}}, wire.Streams{}); err == nil {
			t.Errorf("a lost bottle runs a process: %+v", exit)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("close a lost bottle: %v", err)
	}
	s.expectStopped(t, b.Run())
}

// agentKillsAll ends all that the agent may signal. Its own bottle may be lost
// by that; closing it works all the same.
func agentKillsAll(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	ctx, cancel := context.WithTimeout(bounded(t), 10*time.Second)
	defer cancel()
	_, _ = b.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", "kill -9 1; kill -TERM 1; kill -9 -1; kill -9 $$"}}, wire.Streams{})
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	s.expectStopped(t, b.Run())
}

// resistingHome makes a home that a naive removal stumbles over or, worse,
// leaves.
func resistingHome(t *testing.T, s *suite) {
	outside := t.TempDir()
	writeTree(t, outside, map[string]string{"precious": "do not touch"})
	b := s.launch(t, s.spec())
	prints(t, b, "", `cd "$HOME" || exit 1
		ln -s "$1" link; ln -s / root; ln -s link .claude-link
		mkdir closed closed/in; echo x >closed/in/file; chmod 500 closed/in; chmod 0 closed
		d=0123456789012345678901234567890123456789012345678901234567890123456789
		i=0; while [ $i -lt 50 ]; do mkdir $d && cd $d || exit 1; i=$((i+1)); done
		cd "$HOME"; mkfifo fifo; touch -- '-rf' "$(printf 'new\nline')"; chmod 500 .`, outside)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	s.expectStopped(t, b.Run())
	if data, err := os.ReadFile(filepath.Join(outside, "precious")); err != nil || string(data) != "do not touch" {
		t.Errorf("what a link led to: %q, %v", data, err)
	}
}

func removedFromOutside(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	for range 2 {
		if err := s.platform(t).Remove(bounded(t), b.Run()); err != nil {
			t.Errorf("remove: %v", err)
		}
	}
	if status := s.status(t, b.Run()); status != nil {
		t.Errorf("removed, and listed: %+v", status)
	}
	if err := b.Close(); err != nil {
		t.Errorf("close after it was removed: %v", err)
	}
	s.expectStopped(t, b.Run())
}
