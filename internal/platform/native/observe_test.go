//go:build linux

package native

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// TestObserve shows what the suite looks for after each bottle: every process of
// one, whatever it is called, since each could be left by itself.
func TestObserve(t *testing.T) {
	b, _ := launched(t, nil)
	o, err := b.(*instance).platform.objects().find(b.Run())
	check(t, err)
	reads, begins := io.Pipe()
	ended := make(chan struct{})
	go func() { // until the bottle ends
		defer close(ended)
		start := wire.Start{Argv: []string{"sh", "-c", "echo up; exec sleep 600"}}
		_, _ = b.Exec(t.Context(), start, wire.Streams{Stdout: begins})
	}()
	up := make([]byte, 3)
	if _, err := io.ReadFull(reads, up); err != nil || !bytes.Equal(up, []byte("up\n")) {
		t.Fatalf("%q, %v", up, err)
	}
	seen := observe(t)
	all := append(others(t, b), o.Supervisor.PID, o.Inside.PID)
	if len(all) < 4 { // with the guest and sleep
		t.Fatalf("a bottle of %v", all)
	}
	for _, pid := range all {
		if !slices.ContainsFunc(seen, func(line string) bool { return strings.HasPrefix(line, fmt.Sprintf("process %d: ", pid)) }) {
			t.Errorf("process %d is not seen in %q", pid, seen)
		}
	}
	check(t, unix.Kill(o.Supervisor.PID, unix.SIGKILL))
	<-ended
	check(t, b.Close())
	for end := time.Now().Add(10 * time.Second); len(observe(t)) > 0; {
		if time.Now().After(end) {
			t.Fatalf("it is over, and there is %q", observe(t))
		}
	}
}
