//go:build linux

package native

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/bottle/bottletest"
	"claude-bottle/internal/runs"
	"claude-bottle/test/engine"
)

// TestConformance holds the platform to the contract of all platforms, as the
// user who runs the tests. TestConformanceAsUser is the same as an ordinary
// one.
func TestConformance(t *testing.T) {
	needBubblewrap(t)
	place := bottletest.NativeRoot
	if os.Getuid() != 0 {
		place = bottletest.NativeUser
	}
	bottletest.Run(t, bottletest.Config{
		New: func(_ *testing.T, store *runs.Store, lookup func(string) (string, bool)) bottle.Platform {
			return newPlatform(t, store, lookup)
		},
		Root:    reachableDir,
		Observe: observe,
		Signal: func(t *testing.T, b bottle.Bottle, part bottletest.Part, signal unix.Signal) {
			object, err := b.(*instance).platform.objects().find(b.Run())
			if err != nil || object == nil {
				t.Fatalf("find the bottle: %v", err)
			}
			pid := object.Supervisor.PID
			if part == bottletest.Guest {
				pid = object.Inside.PID
			}
			if err := unix.Kill(pid, signal); err != nil {
				t.Fatal(err)
			}
		},
		Place:  place,
		Others: others,
	})
}

func newPlatform(t testing.TB, store *runs.Store, lookup func(string) (string, bool)) *Platform {
	return New(Config{
		Store: store, Home: t.TempDir(), UID: os.Getuid(), Binary: ourBinary(t),
		Getenv: func(name string) string {
			if value, ok := lookup(name); ok {
				return value
			}
			return map[string]string{"PATH": searchPath}[name]
		},
	})
}

// needBubblewrap is engine.Tool in the directories that the product looks in.
func needBubblewrap(t testing.TB) {
	t.Helper()
	if lookPath(bubblewrap, searchPath) != "" {
		return
	}
	engine.Missing(t, engine.PartTools, "bubblewrap is not installed (apt-get install bubblewrap)")
}

// reachableDir is a directory that every uid can pass through, and that is gone
// with the test.
func reachableDir(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ownRoots.Lock()
	defer ownRoots.Unlock()
	ownRoots.list = append(ownRoots.list, root+"/")
	return root
}

// ownRoots are the directories of this process's tests, by which it knows its
// bottles from those of the same tests that somebody else runs at the same time.
var ownRoots struct {
	sync.Mutex // guards list
	list       []string
}

func ofOwnRoots(line string) bool {
	ownRoots.Lock()
	defer ownRoots.Unlock()
	return slices.ContainsFunc(ownRoots.list, func(root string) bool { return strings.Contains(line, root) })
}

// observe lists the processes of bottles, and the mounts that they leave
// (TestObserve).
func observe(t *testing.T) []string {
	t.Helper()
	var found []string
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() && ofBottle(pid, string(mounts)) {
			line, _ := os.ReadFile(filepath.Join("/proc", entry.Name(), "cmdline")) // for who reads it
			found = append(found, fmt.Sprintf("process %d: %q", pid, line))
		}
	}
	for line := range strings.Lines(string(mounts)) {
		if ofOwnRoots(line) {
			found = append(found, "mount "+line)
		}
	}
	slices.Sort(found)
	return found
}

// ofBottle says that a process runs our program out of one of our roots, as the
// supervisor does and what becomes bubblewrap, names one in its arguments, as
// bubblewrap does, or sees other mounts than ours, of directories there, as all do
// that are inside.
func ofBottle(pid int, ours string) bool {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	program, _ := os.Readlink(filepath.Join(dir, "exe"))
	argv, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	if ofOwnRoots(program) || ofOwnRoots(string(argv)) {
		return true
	}
	mounts, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
	return err == nil && string(mounts) != ours && ofOwnRoots(string(mounts))
}

func ourBinary(t testing.TB) string {
	t.Helper()
	path, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var builtBinary = sync.OnceValues(func() (string, error) {
	path := os.Getenv(binaryVariable)
	if path != "" {
		return path, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	// Each checkout has its own: the parts of a bottle are of one version.
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "claude-bottle-test", fmt.Sprintf("claude-bottle-native-%08x", crc32.ChecksumIEEE([]byte(here))))
	build := exec.Command("go", "build", "-o", path, "claude-bottle/cmd/part")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, os.Setenv(binaryVariable, path)
})

// binaryVariable names the program under test to the processes that a test starts
// of its own binary: one that is to be killed need not build it anew, and another
// user cannot.
const binaryVariable = "CLAUDE_BOTTLE_TEST_BINARY"

// others are the bottle's processes beside the supervisor and bubblewrap's
// first: all below them, in the order of their ids, but for the probe, which may
// be about to end and is nobody's loss by then.
func others(t *testing.T, b bottle.Bottle) []int {
	t.Helper()
	object, err := b.(*instance).platform.objects().find(b.Run())
	if err != nil || object == nil {
		t.Fatalf("find the bottle: %v", err)
	}
	parents := map[int]int{}
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		if argv, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline")); err != nil || len(argv) == 0 ||
			strings.HasSuffix(string(argv), "\x00guest\x00probe\x00") {
			continue
		}
		// After the name, in parentheses, come the state and the parent (proc_pid_stat(5)).
		_, rest, _ := strings.Cut(string(data), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path))) // the pattern has digits alone
			parents[pid], _ = strconv.Atoi(fields[1])                 // so has the kernel
		}
	}
	roots := []int{object.Supervisor.PID, object.Inside.PID}
	var found []int
	for pid := range parents {
		for up := parents[pid]; up > 1; up = parents[up] {
			if slices.Contains(roots, up) && !slices.Contains(roots, pid) {
				found = append(found, pid)
				break
			}
		}
	}
	slices.Sort(found)
	return found
}
