package bottletest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
)

func sweepRows() []row {
	return []row{
		{"a live bottle is left alone", liveIsLeft},
		{"several sweeps at once", severalSweeps},
		{"a launch that died early is discarded", earlyDeath},
	}
}

func liveIsLeft(t *testing.T, s *suite) {
	b := s.launch(t, s.spec())
	swept, err := bottle.Sweep(bounded(t), s.store, s.platform(t))
	if err != nil || len(swept.Stopped)+len(swept.Discarded) > 0 {
		t.Errorf("swept %+v, %v", swept, err)
	}
	prints(t, b, "alive\n", "echo alive")
}

func orphanIsEnded(t *testing.T, s *suite) {
	id := s.orphan(t)
	if err := os.WriteFile(filepath.Join(s.store.Dir(id), bottle.WorkDir, "mine"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	swept, err := bottle.Sweep(bounded(t), s.store, s.platform(t))
	if err != nil || len(swept.Stopped) != 1 || swept.Stopped[0].ID != id {
		t.Errorf("swept %+v, %v", swept, err)
	}
	s.expectStopped(t, id)
	if status := s.status(t, id); status != nil {
		t.Errorf("swept, and listed: %+v", status)
	}
	summary, err := bottle.Summarise(s.store, id)
	if err != nil || summary.Added != 1 {
		t.Errorf("summary of an orphan: %+v, %v", summary, err)
	}
	swept, err = bottle.Sweep(bounded(t), s.store, s.platform(t))
	if err != nil || len(swept.Stopped)+len(swept.Discarded) > 0 {
		t.Errorf("swept twice: %+v, %v", swept, err)
	}
}

func severalSweeps(t *testing.T, s *suite) {
	ids := []runs.ID{s.orphan(t), s.orphan(t)}
	var mu sync.Mutex // guards stopped
	stopped := map[runs.ID]int{}
	var all sync.WaitGroup
	for range 4 {
		platform := s.platform(t)
		all.Go(func() {
			swept, err := bottle.Sweep(bounded(t), s.store, platform)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, info := range swept.Stopped {
				stopped[info.ID]++
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if stopped[id] != 1 {
			t.Errorf("run %s was stopped by %d sweeps", id, stopped[id])
		}
		s.expectStopped(t, id)
	}
}

func earlyDeath(t *testing.T, s *suite) {
	run, err := s.store.Create(runs.Info{Platform: s.platform(t).Name(), Name: "claude-bottle-early", State: runs.Launching})
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Release(); err != nil {
		t.Fatal(err)
	}
	swept, err := bottle.Sweep(bounded(t), s.store, s.platform(t))
	if err != nil || len(swept.Discarded) != 1 || swept.Discarded[0].ID != run.ID() {
		t.Errorf("swept %+v, %v", swept, err)
	}
	s.expectRuns(t)
}

// storeVariable tells a process of the test binary to be a launcher over the
// store that it names; see launcher.
const storeVariable = "CLAUDE_BOTTLE_TEST_LAUNCHER_STORE"

// orphan launches a bottle in another process and kills that.
func (s *suite) orphan(t *testing.T) runs.ID {
	t.Helper()
	id, launcher := s.elsewhere(t)
	_ = launcher.Process.Kill()
	_ = launcher.Wait()
	return id
}

// elsewhere launches a bottle in another process, which ends with this one at the
// latest.
func (s *suite) elsewhere(t *testing.T) (runs.ID, *exec.Cmd) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(bounded(t), binary, "-test.run=^"+name+"$", "-test.timeout="+patience.String())
	cmd.Env = append(os.Environ(), storeVariable+"="+s.store.Root())
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe() // the launcher waits on it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stdin.Close() })
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if id, ok := strings.CutPrefix(lines.Text(), launchedPrefix); ok {
			return runs.ID(id), cmd
		}
		t.Logf("launcher: %s", lines.Text())
	}
	_ = cmd.Wait()
	t.Fatal("the launcher started no bottle")
	return "", nil
}

const launchedPrefix = "launched "

// launcher is the other process: it launches, says so, and waits to be killed.
func launcher(t *testing.T, config Config, root string) {
	store, err := runs.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	s := config.suite(store)
	if acts(t, s) {
		return
	}
	platform := s.platform(t)
	b, err := platform.Launch(bounded(t), s.prepare(t, platform, s.spec()), environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(os.Stdout, "%s%s\n", launchedPrefix, b.Run())
	_, _ = os.Stdin.Read(make([]byte, 1))
	_ = b.Close()
}
