//go:build linux

// Package escape runs the attacks of package attacks in bottles of every
// platform and holds each result to the table, in a world of its own: a network
// namespace that leads nowhere, in which it plays the host, the internet and
// the metadata service. `make test-escape` runs all of it; without
// CLAUDE_BOTTLE_ESCAPE=all a sample is run.
package escape_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"claude-bottle/test/engine"
)

// inWorld marks the process that runs the tests inside the world.
const inWorld = "CLAUDE_BOTTLE_ESCAPE_WORLD"

// shared are what all tests use, each made when the first test asks.
var shared struct {
	dir     string // every user can pass through it
	world   *world
	engine  func() (*engine.Apart, error)
	program func(name string) (string, error)
}

func TestMain(m *testing.M) {
	os.Exit(run(m)) //nolint:forbidigo // this is a main
}

func run(m *testing.M) int {
	if os.Geteuid() == 0 && os.Getenv(inWorld) == "" {
		return again()
	}
	code, err := runInside(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// again runs this program in namespaces of its own.
func again() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // it ends by the tests' own limit
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), inWorld+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if exit, is := errors.AsType[*exec.ExitError](err); is {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runInside(m *testing.M) (code int, err error) {
	shared.dir, err = os.MkdirTemp("", "cbe") // short: a socket's path ends at 107 bytes (unix(7))
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(shared.dir)) }()
	if err := os.Chmod(shared.dir, 0o755); err != nil {
		return 1, err
	}
	if os.Geteuid() == 0 {
		if shared.world, err = newWorld(shared.dir); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, shared.world.close()) }()
	}
	var started *engine.Apart
	shared.engine = sync.OnceValues(func() (*engine.Apart, error) {
		runsc, err := engine.FindGvisor()
		if err != nil {
			runsc = "" // the places that need it say so
		}
		started, err = engine.StartHere(context.Background(), os.Stderr, runsc)
		return started, err
	})
	defer func() {
		if started != nil {
			err = errors.Join(err, started.Close())
		}
	}()
	builds := map[string]func() (string, error){}
	for name, pkg := range map[string]string{"claude-bottle": "claude-bottle/cmd/claude-bottle", "escape": "claude-bottle/test/escape/cmd/escape", "pipelock": "claude-bottle/test/pipelock"} {
		builds[name] = sync.OnceValues(func() (string, error) { return build(name, pkg) })
	}
	shared.program = func(name string) (string, error) { return builds[name]() }
	return m.Run(), nil
}

// build makes a static program that every user can run.
func build(name, pkg string) (string, error) {
	path := filepath.Join(shared.dir, name)
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, pkg) //nolint:noctx // no test owns it
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", name, err, out)
	}
	return path, nil
}

func all() bool { return os.Getenv("CLAUDE_BOTTLE_ESCAPE") == "all" }
