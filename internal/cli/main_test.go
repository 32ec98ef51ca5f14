//go:build linux

package cli_test

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"claude-bottle/internal/bottle/bottletest"
	"claude-bottle/internal/cli"
)

// TestMain makes the test binary three things: the tests, process 1 of a fake
// bottle, and the command under test, on the fake platform.
func TestMain(m *testing.M) {
	bottletest.Main()
	listenForHangups()
	testscript.Main(m, map[string]func(){"claude-bottle": command})
}

// listenForHangups has what the tests start hear of a terminal that goes,
// although they were started by nohup(1): a signal that is caught has its usual
// effect in a program that is started, one that is ignored stays ignored.
func listenForHangups() {
	if filepath.Base(os.Args[0]) != "claude-bottle" { // the command under test does not
		signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	}
}

// command is the program as scripts run it.
func command() {
	env := cli.Process("v1.2.3-test", os.Exit) //nolint:forbidigo // this is a main
	env.Platforms = platforms()
	env.DefaultPlatform = "fake"
	if os.Getenv("TEST_CLOCK") == "jumps" { // so that no two signals are one over again
		var calls atomic.Int64
		env.Now = func() time.Time { return time.Now().Add(time.Duration(calls.Add(1)) * time.Second) }
	}
	if os.Getenv("TEST_DOCKER") != "" {
		env.Platforms["docker"] = cli.Process("", os.Exit).Platforms["docker"] //nolint:forbidigo // as above
	}
	streams := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(cli.Main(context.Background(), os.Args[1:], streams, env)) //nolint:forbidigo // this is a main
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"engine":     standinEngine,
			"exits":      exits,
			"eventually": eventually,
			"plant":      plant,
		},
	})
}

// setup gives a script a home, a state directory and a project of its own.
func setup(env *testscript.Env) error {
	home, project := filepath.Join(env.WorkDir, "home"), filepath.Join(env.WorkDir, "project")
	for _, dir := range []string{home, project} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// The agent's uid must get at the run's directory.
	for dir := env.WorkDir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			break
		}
	}
	env.Setenv("HOME", home)
	env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
	// What only root may search would make a missing program a forbidden one.
	path := slices.DeleteFunc(filepath.SplitList(env.Getenv("PATH")), func(dir string) bool {
		return strings.HasPrefix(dir, "/root")
	})
	env.Setenv("PATH", strings.Join(path, string(filepath.ListSeparator)))
	env.Cd = project
	return nil
}

// exits runs a command and wants its exit code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := codeOf(err); got != args[0] {
		ts.Fatalf("exit code %s, want %s", got, args[0])
	}
}

// eventually runs a command until it succeeds and prints what it is given to
// print, for at most 20 s: eventually TEXT COMMAND...
func eventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: eventually TEXT COMMAND...")
	}
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	probe := time.NewTicker(20 * time.Millisecond)
	defer probe.Stop()
	for {
		if err := ts.Exec(args[1], args[2:]...); err == nil && strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		select {
		case <-probe.C:
		case <-deadline.C:
			ts.Fatalf("%q was never printed by %q", args[0], args[1:])
		}
	}
}
