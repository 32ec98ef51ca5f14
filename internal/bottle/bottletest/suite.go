package bottletest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// Part is a part of a bottle that can break.
type Part string

// Parts of a bottle.
const (
	Gateway Part = "gateway"
	Guest   Part = "guest"
)

// Config is one platform under test.
type Config struct {
	// New constructs the platform over a store; lookup is the launcher's
	// environment. It is called several times for one store, as several
	// launchers would.
	New func(t *testing.T, store *runs.Store, lookup func(string) (string, bool)) bottle.Platform
	// Root makes the root of a store that the platform can mount from;
	// t.TempDir when nil.
	Root func(t *testing.T) string
	// Spec changes what a test launches; nil for nothing.
	Spec func(*bottle.Spec)
	// Observe lists what exists on the platform that could be of bottles.
	// What is listed after a test and was not before it was left behind.
	Observe func(t *testing.T) []string
	// Inspect returns all that the platform keeps of a running bottle
	// outside the run's directory: engine objects, logs. Nil for nothing.
	Inspect func(t *testing.T, b bottle.Bottle) []byte
	// Signal sends a signal to a part of a bottle: one that kills it, as a crash
	// would, or has it stand still.
	Signal func(t *testing.T, b bottle.Bottle, part Part, signal unix.Signal)
	// Place says what of Declared is this one's.
	Place Place
	// Others are the processes of a bottle on the host beside those of Signal,
	// always in the same order; nil where that is declared.
	Others func(t *testing.T, b bottle.Bottle) []int
	// Writable are directories of the tests' image that anybody inside may write
	// to: no two bottles share them.
	Writable []string
	// Goroutines are options for the check that a test leaves none, as for
	// those of a client's idle connections.
	Goroutines []goleak.Option
}

// patience bounds one step inside a bottle, also on a busy machine. A machine
// that is emulated says by PatienceVariable how much longer that takes on it.
var patience = func() time.Duration {
	if given, err := time.ParseDuration(os.Getenv(PatienceVariable)); err == nil {
		return given
	}
	return time.Minute
}()

// PatienceVariable is of the environment, as time.ParseDuration reads it.
const PatienceVariable = "CLAUDE_BOTTLE_TEST_PATIENCE"

// row is one thing that every platform does.
type row struct {
	name string
	run  func(t *testing.T, s *suite)
}

// group is rows that share a bottle, or, when own is set, none. When opened is
// set, they have it as another process gets it: from the platform's Open.
type group struct {
	name   string
	own    bool
	opened bool
	rows   []row
}

func groups() []group {
	return []group{
		{"launch", true, false, launchRows()},
		{"exec", false, false, execRows()},
		{"terminal", false, false, terminalRows()},
		{"exec, opened", false, true, execRows()},
		{"terminal, opened", false, true, terminalRows()},
		{"isolation", true, false, isolationRows()},
		{"gateway", true, false, gatewayRows()},
		{"limits", true, false, limitRows()},
		{"provisioning", true, false, provisioningRows()},
		{"names", true, false, nameRows()},
		{"secrets", true, false, secretRows()},
		{"teardown", true, false, teardownRows()},
		{"killed", true, false, killedRows()},
		{"standing still", true, false, stillRows()},
		{"sweep", true, false, sweepRows()},
		{"crash", true, false, crashRows()},
	}
}

// crashNames are the rows of crash, which only a build with the tag
// "failpoints" has.
func crashNames() []string {
	return []string{
		"a launcher that dies anywhere", "a launcher that fails anywhere", "a sweep that dies anywhere", "a sweep that fails anywhere",
		"parts that die anywhere",
	}
}

// suite is what the rows of one group work with.
type suite struct {
	config Config
	store  *runs.Store
	slug   string        // of this suite's agents alone: names are shared by all tests on an engine
	bottle bottle.Bottle // shared by the group's rows, or nil
}

func (config Config) suite(store *runs.Store) *suite {
	return &suite{config: config, store: store, slug: "test-" + strings.ToLower(rand.Text()[:10])}
}

// Run holds a platform to the contract.
func Run(t *testing.T, config Config) {
	if root := os.Getenv(storeVariable); root != "" {
		launcher(t, config, root)
		return
	}
	for _, g := range groups() {
		t.Run(g.name, func(t *testing.T) { config.group(t, g) })
	}
}

func (config Config) group(t *testing.T, g group) {
	s := config.suite(config.open(t))
	if !g.own {
		s.bottle = s.launch(t, s.spec())
	}
	if g.opened {
		opened, err := s.platform(t).Open(bounded(t), s.bottle.Run())
		if err != nil {
			t.Fatalf("open: %v", err)
		}
		s.bottle = opened // closing the one that was launched ends it
	}
	for _, row := range g.rows {
		t.Run(row.name, func(t *testing.T) {
			if declared, is := config.Place.declared(g.name + "/" + row.name); is && !declared.Refused {
				t.Skipf("the platform declares that it does not: %s", declared.Why)
			}
			if !g.own {
				row.run(t, s)
				return
			}
			s := config.suite(config.open(t))
			nothingLeft(t, s)
			row.run(t, s)
		})
	}
}

func (config Config) open(t *testing.T) *runs.Store {
	t.Helper()
	root := t.TempDir()
	if config.Root != nil {
		root = config.Root(t)
	} else if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	store, err := runs.Open(filepath.Join(root, "state"))
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// nothingLeft checks, when the test has ended, that the platform looks as it
// did before and that no goroutine is left.
func nothingLeft(t *testing.T, s *suite) {
	t.Helper()
	before := s.config.Observe(t)
	goroutines := append(slices.Clone(s.config.Goroutines), goleak.IgnoreCurrent())
	t.Cleanup(func() {
		// What ends by itself, with its launcher's pipe, may take a moment.
		var left []string
		within(grace, func() bool {
			left = slices.DeleteFunc(s.config.Observe(t), func(name string) bool { return slices.Contains(before, name) })
			return len(left) == 0
		})
		for _, name := range left {
			t.Errorf("left behind: %s", name)
		}
		err := goleak.Find(goroutines...) // tries for about a second by itself
		for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); {
			err = goleak.Find(goroutines...)
		}
		if err != nil {
			t.Errorf("left behind: %v", err)
		}
	})
}

// grace is how long something may be left after a test.
const grace = 3 * time.Second

// spec is an agent that is any command.
func (s *suite) spec() bottle.Spec {
	uid, gid := bottle.Person(os.Getuid(), os.Getgid(), os.LookupEnv)
	spec := bottle.Spec{
		Agent: "Conformance", Slug: s.slug, Bottle: "test", Harness: "command", Argv: []string{"sh"},
		Isolation: bottle.Auto, Home: bottle.DefaultHome, Workspace: bottle.Workspace,
		UID: uid, GID: gid, Manifest: strings.Repeat("0", 64),
	}
	if s.config.Spec != nil {
		s.config.Spec(&spec)
	}
	return spec
}

// noVariables is an empty launcher's environment.
func noVariables(string) (string, bool) { return "", false }

func (s *suite) platform(t *testing.T) bottle.Platform {
	t.Helper()
	return s.config.New(t, s.store, noVariables)
}

// prepare resolves a spec into a plan.
func (s *suite) prepare(t *testing.T, platform bottle.Platform, spec bottle.Spec) bottle.Plan {
	t.Helper()
	plan, err := platform.Prepare(bounded(t), spec)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return plan
}

// launch starts a bottle that is closed when the test ends.
func (s *suite) launch(t *testing.T, spec bottle.Spec) bottle.Bottle {
	t.Helper()
	return s.launchWith(t, spec, environ.Secrets{})
}

func (s *suite) launchWith(t *testing.T, spec bottle.Spec, secrets environ.Secrets) bottle.Bottle {
	t.Helper()
	platform := s.platform(t)
	b, err := platform.Launch(bounded(t), s.prepare(t, platform, spec), secrets)
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

// bounded is a context for one step.
func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// result is how a process ended and what it printed.
type result struct {
	exit           wire.Exit
	stdout, stderr string
}

// sh runs a shell command to its end.
func sh(t *testing.T, b bottle.Bottle, script string, args ...string) result {
	t.Helper()
	return run(t, b, wire.Start{Argv: append([]string{"sh", "-c", script, "sh"}, args...)}, nil)
}

// run runs one process to its end.
func run(t *testing.T, b bottle.Bottle, start wire.Start, stdin io.Reader) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	exit, err := b.Exec(bounded(t), start, wire.Streams{Stdin: stdin, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		t.Fatalf("run %q: %v", start.Argv, err)
	}
	return result{exit, stdout.String(), stderr.String()}
}

// prints checks that a shell command succeeds and what it prints.
func prints(t *testing.T, b bottle.Bottle, want, script string, args ...string) {
	t.Helper()
	got := sh(t, b, script, args...)
	if got.exit.Code != 0 || got.stdout != want {
		t.Errorf("%s %q: code %d, printed %q, want %q; standard error: %s",
			script, args, got.exit.Code, got.stdout, want, got.stderr)
	}
}

// eventually asks until done says yes.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	if !within(patience, done) {
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// within asks until done says yes, and returns false when it did not in time.
func within(limit time.Duration, done func() bool) bool {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			return false
		}
	}
	return true
}

// errUnexpected is what a writer of a test returns to stop a process.
var errUnexpected = errors.New("unexpected output")
