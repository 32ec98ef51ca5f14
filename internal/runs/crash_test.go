package runs

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func buildLife(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "life")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-tags", "failpoints", "-o", program, "./testdata/life").CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}

// live runs the program until it ends at the point and returns what it said.
func live(t *testing.T, program, root, point, list string) (lines []string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, root)
	cmd.Env = append(os.Environ(), "CLAUDE_BOTTLE_FAILPOINT="+point, "CLAUDE_BOTTLE_FAILPOINT_LIST="+list)
	out, err := cmd.Output()
	return strings.Split(strings.TrimSpace(string(out)), "\n"), err
}

// points returns the names of the failpoints of a life, each once.
func points(t *testing.T, program string) []string {
	t.Helper()
	list := filepath.Join(t.TempDir(), "list")
	if lines, err := live(t, program, filepath.Join(t.TempDir(), "state"), "", list); err != nil {
		t.Fatalf("%v: %q", err, lines)
	}
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(data))
	slices.Sort(names)
	names = slices.Compact(names)
	for _, op := range []string{"create", "record", "forget", "update", "discard"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, "runs."+op+".") }) {
			t.Errorf("no failpoint in %s", op)
		}
	}
	return names
}

// existing returns what the program said exists.
func existing(lines []string) []string {
	var made []string
	for _, line := range lines {
		if name, ok := strings.CutPrefix(line, "made "); ok {
			made = append(made, name)
		}
		if name, ok := strings.CutPrefix(line, "removed "); ok {
			made = slices.DeleteFunc(made, func(other string) bool { return other == name })
		}
	}
	return made
}

func TestCrashAtAnyPointLosesNoResource(t *testing.T) {
	program := buildLife(t)
	for _, point := range points(t, program) {
		root := filepath.Join(t.TempDir(), "state")
		lines, err := live(t, program, root, point, "")
		if err == nil {
			t.Fatalf("%s: it was not killed", point)
		}
		store, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		infos, err := store.List()
		if err != nil || len(infos) > 1 {
			t.Fatalf("%s: list %v, %v", point, infos, err)
		}
		made := existing(lines)
		if len(infos) == 0 {
			if len(made) > 0 {
				t.Errorf("%s: no run remembers %q", point, made)
			}
		} else {
			adopt(t, store, point, infos[0], made)
		}
		clean(t, store, point)
	}
}

// adopt is what the next command does with a run whose process was killed.
func adopt(t *testing.T, store *Store, point string, info Info, made []string) {
	t.Helper()
	if info.State == Damaged || info.Agent != "demo" {
		t.Errorf("%s: the ledger says %+v", point, info)
	}
	if store.Alive(info.ID) {
		t.Errorf("%s: a run whose process was killed is alive", point)
	}
	run, err := store.Lock(info.ID)
	if err != nil {
		t.Fatalf("%s: %v", point, err)
	}
	for _, name := range made {
		if !slices.Contains(run.Resources(), Resource{Kind: "thing", Name: name}) {
			t.Errorf("%s: %s exists and is not in the ledger %v", point, name, run.Resources())
		}
	}
	if err := run.Update(func(info *Info) { info.State = Stopped }); err != nil {
		t.Errorf("%s: %v", point, err)
	}
	if err := run.Discard(); err != nil {
		t.Errorf("%s: %v", point, err)
	}
}

// clean checks that nothing is left but the store's own lock.
func clean(t *testing.T, store *Store, point string) {
	t.Helper()
	if err := store.Tidy(context.Background()); err != nil {
		t.Errorf("%s: %v", point, err)
	}
	left, err := os.ReadDir(filepath.Join(store.Root(), "runs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range left {
		if entry.Name() != ".lock" {
			t.Errorf("%s: left is %s", point, entry.Name())
		}
	}
}

func TestFailureAtAnyPointKeepsTheLedger(t *testing.T) {
	program := buildLife(t)
	for _, point := range points(t, program) {
		root := filepath.Join(t.TempDir(), "state")
		lines, err := live(t, program, root, point+":error", "")
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 3 {
			t.Fatalf("%s: %v, want exit code 3: %q", point, err, lines)
		}
		store, err := Open(root)
		if err != nil {
			t.Fatal(err)
		}
		infos, err := store.List()
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(point, "runs.create.") {
			if len(infos) != 0 {
				t.Errorf("%s: a run that could not be created is there: %v", point, infos)
			}
			clean(t, store, point)
			continue
		}
		if point != "runs.discard.before-remove" && (len(infos) != 1 || infos[0].State == Damaged) {
			t.Errorf("%s: the runs are %v", point, infos)
		}
	}
}

func TestKillReleasesTheLockThoughAChildLives(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	cmd := exec.CommandContext(t.Context(), buildLife(t), root, "hold")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	id := ID(strings.TrimPrefix(lines.Text(), "run "))
	lines.Scan()
	if !strings.HasPrefix(lines.Text(), "holding ") {
		t.Fatalf("it said %q", lines.Text())
	}
	store, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if !store.Alive(id) {
		t.Error("a run of a live process is not alive")
	}
	if _, err := store.Lock(id); !errors.Is(err, ErrLocked) {
		t.Errorf("its lock: %v, want ErrLocked", err)
	}
	if err := store.Tidy(context.Background()); err != nil {
		t.Error(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_, _ = cmd.Process.Wait() // not cmd.Wait, which would end the child's standard input
	if store.Alive(id) {
		t.Error("after SIGKILL, with a child that lives, the run is alive")
	}
	if run, err := store.Lock(id); err != nil {
		t.Errorf("after SIGKILL its lock: %v", err)
	} else if err := run.Release(); err != nil {
		t.Error(err)
	}
	_ = stdin.Close()
}

// TestLockThatIsNone: what somebody put in the place of a lock keeps no run at
// work for good; of many that look at it at once, one gets the run.
func TestLockThatIsNone(t *testing.T) {
	for name, make := range map[string]func(path string) error{
		"a link":      func(path string) error { return os.Symlink("/nowhere", path) },
		"a pipe":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.MkdirAll(filepath.Join(path, "more"), 0o700) },
		"nothing":     func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			run := create(t, s, Info{})
			if err := run.Release(); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(s.Dir(run.ID()), lockName)
			if err := errors.Join(os.Remove(path), make(path)); err != nil {
				t.Fatal(err)
			}
			got := takenByMany(s, run.ID())
			if len(got) != 1 {
				t.Fatalf("%d have the lock", len(got))
			}
			if !s.Alive(run.ID()) {
				t.Error("it is not seen to be held")
			}
			if err := got[0].Discard(); err != nil {
				t.Error(err)
			}
		})
	}
}

// takenByMany are those of many that try to take a run at once, and again while
// others mend its lock, that got it.
func takenByMany(s *Store, id ID) []*Run {
	var mu sync.Mutex // guards got
	var got []*Run
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				run, err := s.Lock(id)
				if err != nil {
					continue
				}
				mu.Lock()
				got = append(got, run)
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	return got
}
