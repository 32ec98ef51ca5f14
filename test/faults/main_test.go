// Package faults lets things go wrong under the built program, at every point
// where it can be hit, and wants the next command to bring the machine back to
// what it was, with the work of the run there. `make test-faults` runs all of
// it; without CLAUDE_BOTTLE_FAULTS=all a sample is run.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

// shared are what all tests use.
var shared struct {
	dir    string
	binary func() (string, error)
}

// tally counts, for the report at the end.
var tally struct{ killed, stopped, signalled, requests, sweeps, late atomic.Int64 }

func TestMain(m *testing.M) {
	os.Exit(run(m)) //nolint:forbidigo // this is a main
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cbf") // short: a socket's path ends at 107 bytes (unix(7))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	shared.dir = dir
	shared.binary = sync.OnceValues(func() (string, error) { return build(dir) })
	code := m.Run()
	fmt.Fprintf(os.Stderr, "faults: killed at %d points, stopped at %d while a part was killed, sent signals at %d, %d engine calls disturbed;"+
		" %d commands swept up, %d times one was not enough\n",
		tally.killed.Load(), tally.stopped.Load(), tally.signalled.Load(), tally.requests.Load(), tally.sweeps.Load(), tally.late.Load())
	return code
}

// build makes the program with its failpoints.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "claude-bottle")
	cmd := exec.Command("go", "run", "claude-bottle/cmd/build", "-tags", "failpoints", "-o", binary) //nolint:noctx // no test owns it
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return binary, nil
}

func all() bool { return os.Getenv("CLAUDE_BOTTLE_FAULTS") == "all" }

// some are at most n of the points, spread over them, unless all are wanted.
func some[T any](points []T, n int) []T {
	if all() || len(points) <= n {
		return points
	}
	var chosen []T
	for i := range n {
		chosen = append(chosen, points[(2*i+1)*len(points)/(2*n)])
	}
	return chosen
}

// needAll skips what is no part of the sample.
func needAll(t *testing.T) {
	t.Helper()
	if !all() {
		t.Skip("no part of the sample: make test-faults")
	}
}
