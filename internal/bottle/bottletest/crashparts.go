//go:build failpoints

package bottletest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// partsDie has a launcher stand still at every failpoint, kills all processes
// that it has started by then, and lets it go on: it says so or goes on without
// them, and whatever comes of it, a sweep makes it good.
func (s *suite) partsDie(t *testing.T) {
	list := filepath.Join(t.TempDir(), "points")
	if out, err := s.act(t, actLife, "CLAUDE_BOTTLE_FAILPOINT_LIST="+list); err != nil {
		t.Fatalf("%s: %v\n%s", actLife, err, out)
	}
	killed := 0
	for _, point := range pointsIn(t, list) {
		one := s.config.suite(s.config.open(t))
		t.Run(point, func(t *testing.T) {
			name, times, _ := strings.Cut(point, "#")
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			var said bytes.Buffer
			cmd := one.acting(ctx, t, actLife, "CLAUDE_BOTTLE_FAILPOINT="+name+":stop:"+times)
			cmd.Stdout, cmd.Stderr = &said, &said
			cmd.WaitDelay = time.Second
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "it stands still", func() bool { return stateOf(cmd.Process.Pid) == 'T' })
			for _, pid := range descendants(cmd.Process.Pid) {
				_ = unix.Kill(pid, unix.SIGKILL) // it may have ended with another
				killed++
			}
			if err := cmd.Process.Signal(unix.SIGCONT); err != nil {
				t.Fatal(err)
			}
			var exit *exec.ExitError
			if err := cmd.Wait(); err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
				t.Errorf("it does not end: %v\n%s", err, said.String())
			}
			one.sweepUntilClean(t)
			one.expectEnded(t, nil)
		})
	}
	if killed == 0 {
		t.Error("there was none to kill")
	}
}

// stateOf is the letter of proc_pid_stat(5), 0 for one that is gone.
func stateOf(pid int) byte {
	fields := statOf(strconv.Itoa(pid))
	if len(fields) == 0 {
		return 0
	}
	return fields[0][0]
}

// statOf are the fields of a process from its state on.
func statOf(pid string) []string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%s/stat", pid))
	if err != nil {
		return nil
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	return strings.Fields(rest)
}

// descendants are all processes below one.
func descendants(root int) (below []int) {
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is good
	children := map[int][]int{}
	for _, path := range paths {
		if fields := statOf(filepath.Base(path)); len(fields) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(path)) // digits
			parent, _ := strconv.Atoi(fields[1])        // digits too
			children[parent] = append(children[parent], pid)
		}
	}
	for next := children[root]; len(next) > 0; next = next[1:] {
		below = append(below, next[0])
		next = append(next, children[next[0]]...)
	}
	return below
}
