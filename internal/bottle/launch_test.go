package bottle

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/probe"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// launched begins a launch over a new store and stages plan.
func launched(t *testing.T, spec Spec) (*runs.Store, *Launching) {
	t.Helper()
	store := openStore(t)
	spec.Home, spec.Workspace, spec.UID, spec.GID = DefaultHome, Workspace, os.Getuid(), os.Getgid()
	plan := Plan{Run: store.Propose(), Name: "claude-bottle-x", Platform: "p", Spec: spec}
	l, err := Begin(store, plan, runs.Place{Endpoint: "here"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Run.Release() })
	if _, err := Stage(t.Context(), l.Run, plan, nil); err != nil {
		t.Fatal(err)
	}
	return store, l
}

func TestFailedLaunchLeavesNothing(t *testing.T) {
	store, l := launched(t, Spec{})
	cause, undone := errors.New("no such image"), false
	l.Undo.Add("network", func(context.Context) error { undone = true; return nil })
	if err := l.Fail(t.Context(), cause); !errors.Is(err, cause) || err.Error() != cause.Error() || !undone {
		t.Errorf("error %v, undone: %v", err, undone)
	}
	if infos, err := store.List(); err != nil || len(infos) != 0 {
		t.Errorf("left: %+v, %v", infos, err)
	}
}

func TestFailedUndoIsLeftToSweep(t *testing.T) {
	store, l := launched(t, Spec{})
	cause, busy := errors.New("no such image"), errors.New("busy")
	l.Undo.Add("network", func(context.Context) error { return busy })
	err := l.Fail(t.Context(), cause)
	if !errors.Is(err, cause) || !errors.Is(err, busy) || !strings.HasPrefix(err.Error(), cause.Error()) {
		t.Errorf("the first error goes first: %v", err)
	}
	if state(t, store, l.Run.ID()) != runs.Launching || store.Alive(l.Run.ID()) {
		t.Error("the ledger is gone, or locked")
	}
	swept, err := Sweep(t.Context(), store, &remover{name: "p"})
	if err != nil || len(swept.Stopped) != 1 {
		t.Errorf("swept: %+v, %v", swept, err)
	}
}

func TestTeardown(t *testing.T) {
	store, l := launched(t, Spec{})
	count := 0
	l.Undo.Add("container", func(context.Context) error { count++; return nil })
	l.Verdict.Add(wire.Finding{Kind: probe.User, Detail: "checked"})
	teardown, err := l.Ready()
	if err != nil {
		t.Fatal(err)
	}
	if info, _, err := store.Load(l.Run.ID()); err != nil || info.State != runs.Running || info.Endpoint != "here" {
		t.Errorf("ledger: %+v, %v", info, err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := teardown.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if count != 1 || state(t, store, l.Run.ID()) != runs.Stopped || store.Alive(l.Run.ID()) {
		t.Errorf("undone %d times, run %s", count, state(t, store, l.Run.ID()))
	}
}

func TestTeardownThatFailsIsLeftToSweep(t *testing.T) {
	store, l := launched(t, Spec{})
	busy := errors.New("busy")
	l.Undo.Add("container", func(context.Context) error { return busy })
	l.Verdict.Add(wire.Finding{Kind: probe.User, Detail: "checked"})
	teardown, err := l.Ready()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := teardown.Close(); !errors.Is(err, busy) {
			t.Errorf("error: %v", err)
		}
	}
	if state(t, store, l.Run.ID()) != runs.Running || store.Alive(l.Run.ID()) {
		t.Error("the run is stopped although a part of it is left, or it is locked")
	}
}

func TestStage(t *testing.T) {
	cwd, skill := t.TempDir(), t.TempDir()
	write(t, filepath.Join(cwd, "a"), "a")
	write(t, filepath.Join(cwd, ".git/HEAD"), "ref")
	write(t, filepath.Join(skill, "SKILL.md"), "skill")
	_, l := launched(t, Spec{
		Cwd:   cwd,
		Trees: []provision.Tree{{Root: provision.Home, Path: ".claude/skills/s", Source: skill}},
		Files: []provision.File{
			{Root: provision.Home, Path: ".claude/settings.json", Mode: 0o600, Data: []byte("{}")},
			{Root: provision.Etc, Path: "claude-bottle/roots.pem", Mode: 0o644, Data: []byte("pem")},
		},
	})
	for path, want := range map[string]string{
		"work/a": "a", "git/HEAD": "ref", "home/.claude/skills/s/SKILL.md": "skill",
		"home/.claude/settings.json": "{}", "etc/claude-bottle/roots.pem": "pem",
	} {
		if data, err := os.ReadFile(l.Run.Path(path)); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", path, data, err)
		}
	}
	for _, name := range []string{"home", "git", "record", "etc", "home/workspace"} {
		info, err := os.Lstat(l.Run.Path(name))
		if err != nil || !info.IsDir() || info.Mode().Perm()&0o077 != 0 && name != "git" {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if entries, err := os.ReadDir(l.Run.Path("work/.git")); err != nil || len(entries) != 0 {
		t.Errorf("work/.git is a mountpoint and nothing else: %v, %v", entries, err)
	}
}

func TestSummary(t *testing.T) {
	store, l := launched(t, Spec{Cwd: func() string {
		cwd := t.TempDir()
		write(t, filepath.Join(cwd, "kept"), "x")
		write(t, filepath.Join(cwd, "gone"), "x")
		return cwd
	}()})
	write(t, l.Run.Path("work/new\x1b[31m"), "x")
	write(t, l.Run.Path("work/.git/config"), "not counted")
	if err := os.Remove(l.Run.Path("work/gone")); err != nil {
		t.Fatal(err)
	}
	if err := finish(t.Context(), l.Run, nil, nil); err != nil {
		t.Fatal(err)
	}
	got, err := Summarise(store, l.Run.ID())
	want := Summary{Run: l.Run.ID(), Work: l.Run.Path("work"), Added: 1, Deleted: 1}
	if err != nil || got != want {
		t.Errorf("%+v, want %+v (%v)", got, want, err)
	}
	if line := "work: 1 added, 1 deleted in " + want.Work + "; do not run git there: the agent wrote it"; got.Line() != line {
		t.Errorf("%q, want %q", got.Line(), line)
	}
}

func TestSummaryLine(t *testing.T) {
	for line, s := range map[string]Summary{
		"work: nothing changed; the copy is in /w":                                             {Work: "/w"},
		"work: 2 added, 3 modified, 1 deleted in /w; do not run git there: the agent wrote it": {Work: "/w", Added: 2, Modified: 3, Deleted: 1},
		`work: in /w, not all of it compared (\x1b); do not run git there: the agent wrote it`: {Work: "/w", Unknown: "\x1b"},
	} {
		if got := s.Line(); got != line {
			t.Errorf("%q, want %q", got, line)
		}
	}
}

// TestFinishGoesOn: a snapshot that is gone or torn keeps no run from ending.
func TestFinishGoesOn(t *testing.T) {
	for name, text := range map[string]string{"torn": "claude-bottle snap", "missing": ""} {
		t.Run(name, func(t *testing.T) {
			store, l := launched(t, Spec{})
			if err := os.Remove(l.Run.Path(snapshotFile)); err != nil {
				t.Fatal(err)
			}
			if text != "" {
				write(t, l.Run.Path(snapshotFile), text)
			}
			if err := finish(t.Context(), l.Run, nil, nil); err != nil {
				t.Fatal(err)
			}
			summary, err := Summarise(store, l.Run.ID())
			if err != nil || summary.Unknown == "" || state(t, store, l.Run.ID()) != runs.Stopped {
				data, _ := json.Marshal(summary)
				t.Errorf("%s, %v", data, err)
			}
		})
	}
}
