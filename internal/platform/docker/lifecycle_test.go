package docker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/wire"
)

// TestGatewayThatCannotStart: its own words are in the error, and nothing is
// left.
func TestGatewayThatCannotStart(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), b.spec())
	if err != nil {
		t.Fatal(err)
	}
	plan.Spec.Egress.Proxy = "nonsense://"
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "boot gateway") {
		t.Errorf("error %v", err)
	}
	b.noRuns(t)
}

// noRuns checks that the store holds no run.
func (b *bench) noRuns(t testing.TB) {
	t.Helper()
	if infos, err := b.store.List(); err != nil || len(infos) > 0 {
		t.Errorf("runs left: %v, %v", infos, err)
	}
}

// TestGatewayThatCrashes: a program that is no gateway.
func TestGatewayThatCrashes(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip(err)
	}
	p.config.Binary = filepath.Join(t.TempDir(), "claude-bottle")
	if err := os.WriteFile(p.config.Binary, busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	plan, err := p.Prepare(t.Context(), b.spec())
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "it ended before it was ready") && !strings.Contains(err.Error(), "applet not found") {
		t.Errorf("error %v", err)
	}
	if _, err := p.Prune(t.Context(), false); err != nil {
		t.Error(err)
	}
	b.noRuns(t)
}

// TestDiskLimit: the bottle is stopped at its limit, and says why.
func TestDiskLimit(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	spec.Limits.Disk = 8 << 20
	i := b.launch(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := i.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", "dd if=/dev/zero of=$HOME/a bs=1M count=5; dd if=/dev/zero of=/tmp/a bs=1M count=5; sleep 1000"}}, wire.Streams{})
	if err == nil || !strings.Contains(err.Error(), "bytes of disk, its limit is 8388608") {
		t.Errorf("error %v", err)
	}
	select {
	case <-i.Lost():
	default:
		t.Error("the bottle is not lost")
	}
}

// TestCancelledExecKeepsTheBottle: a process that is given up ends, and the
// boot stream goes on.
func TestCancelledExecKeepsTheBottle(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := i.Exec(ctx, wire.Start{Argv: []string{"sleep", "1000"}}, wire.Streams{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
	if got := sh(t, i, "ps | grep -c '[s]leep 1000' || true"); got != "0" {
		t.Errorf("%s of the processes are left", got)
	}
}

// TestAnotherEngine: what a run left stays in its ledger, and on its engine,
// when another answers at that one's address.
func TestAnotherEngine(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	i := b.launch(t, b.spec())
	info, _, err := b.store.Load(i.Run())
	if id, dir, _ := strings.Cut(info.Engine, " "); err != nil || id == "" || dir == "" {
		t.Fatalf("the ledger says of the engine: %q, %v", info.Engine, err)
	}
	ledger := filepath.Join(b.store.Dir(i.Run()), "ledger.json")
	original, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(ledger, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	another := strings.Replace(string(original), info.Engine, "another", 1)
	write(another)
	if err := b.platform(t).Remove(t.Context(), i.Run()); !errors.Is(err, bottle.ErrElsewhere) || hint.Of(err) == "" {
		t.Errorf("removed: %v", err)
	}
	if got := sh(t, i, "echo alive"); got != "alive" {
		t.Errorf("its bottle printed %q", got)
	}
	write(string(original))
	if err := b.platform(t).Remove(t.Context(), i.Run()); err != nil {
		t.Error(err)
	}
	write(another)
	if _, err := b.platform(t).Open(t.Context(), i.Run()); !errors.Is(err, bottle.ErrElsewhere) {
		t.Errorf("opened: %v", err)
	}
	write(string(original))
}

// TestTurnThatDoesNotCome keeps no bottle from being removed.
func TestTurnThatDoesNotCome(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	i := b.launch(t, b.spec())
	for {
		waiting, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		release, err := b.store.Turn(waiting)
		cancel()
		if err != nil {
			break // all are taken
		}
		defer release()
	}
	i.platform.turnLimit = 50 * time.Millisecond
	closed := make(chan error, 1)
	go func() { closed <- i.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(bottle.CloseDeadline):
		t.Fatal("it waits on")
	}
}
