//go:build linux

package attacks

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Bomb starts itself, again and again, and is started likewise.
func Bomb(ctx context.Context) error {
	for again := time.NewTicker(time.Millisecond); ; {
		select {
		case <-ctx.Done():
			again.Stop()
			return nil
		case <-again.C:
		}
		_ = exec.CommandContext(ctx, "/proc/self/exe", "bomb").Start() // refused in the end: that is what is tried
	}
}

func forkBomb(ctx context.Context) (Taken, error) {
	ctx, cancel := context.WithTimeout(ctx, hogTime)
	defer cancel()
	for range 3 {
		if err := exec.Command("/proc/self/exe", "bomb").Start(); err != nil { //nolint:noctx // it ends with the bottle
			return Taken{}, err
		}
	}
	<-ctx.Done()
	processes, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return Taken{}, err
	}
	// One more cannot be made, most times that it is tried.
	last := error(nil)
	for range 20 {
		if err := exec.Command("/proc/self/exe", "version").Run(); err != nil { //nolint:noctx // it ends by itself
			last = err
		}
	}
	return Taken{len(processes), errorText(last)}, nil
}

// leaveOrphans starts programs that start one each and end: process 1 inherits
// it. What it counts are those that are dead and not reaped in the end.
func leaveOrphans(ctx context.Context) (Taken, error) {
	const rounds = 2000
	last := error(nil)
	for range rounds {
		if err := exec.CommandContext(ctx, "/proc/self/exe", "orphan").Run(); err != nil {
			last = err
		}
	}
	dead := 0
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if dead = zombies(); dead == 0 || ctx.Err() != nil {
			tick.Stop()
			return Taken{dead, errorText(last)}, nil
		}
	}
}

// Orphan starts a process that ends at once, and does not wait for it.
func Orphan(context.Context) error {
	return exec.Command("/proc/self/exe", "version").Start() //nolint:noctx // nobody waits for it: that is what is tried
}

// zombies are dead processes that nobody has waited for.
func zombies() (n int) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is good
	for _, path := range paths {
		data, _ := os.ReadFile(path) // it may be reaped by now
		if _, rest, _ := bytes.Cut(data, []byte(") ")); bytes.HasPrefix(rest, []byte("Z")) {
			n++
		}
	}
	return n
}
