package runs

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree/treetest"
)

func TestDiskFull(t *testing.T) {
	dir := treetest.Disk(t, "256k")
	s, err := Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	run := create(t, s, Info{Agent: "first"})
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, 1<<20), 0o600); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for what, err := range map[string]error{
		"record": run.Record(Resource{Kind: "network", Name: "n"}),
		"create": func() error { _, err := s.Create(Info{}); return err }(),
	} {
		if !errors.Is(err, unix.ENOSPC) || hint.Of(err) == "" {
			t.Errorf("%s on a full disk: %v (hint %q)", what, err, hint.Of(err))
		}
	}
	if len(run.Resources()) != 0 {
		t.Error("memory holds what the disk does not")
	}
	if info, resources, err := s.Load(run.ID()); err != nil || info.Agent != "first" || len(resources) != 0 {
		t.Errorf("the ledger is now %+v %v, %v", info, resources, err)
	}
	if left, err := os.ReadDir(run.Dir()); err != nil || len(left) != 2 {
		t.Errorf("the run's directory holds %v, want lock and ledger", left)
	}
	if err := run.Discard(); err != nil {
		t.Errorf("a full disk keeps a run from being removed: %v", err)
	}
	clean(t, s, "disk full")
}

func TestReadOnly(t *testing.T) {
	dir := treetest.Disk(t, "256k")
	s, err := Open(filepath.Join(dir, "state"))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(Info{}); !errors.Is(err, unix.EROFS) || hint.Of(err) == "" {
		t.Errorf("create: %v (hint %q)", err, hint.Of(err))
	}
	other, err := Open(filepath.Join(dir, "other"))
	if err != nil {
		t.Fatalf("looking needs writing: %v", err)
	}
	if _, err := other.Create(Info{}); !errors.Is(err, unix.EROFS) || hint.Of(err) == "" {
		t.Errorf("create in a new store: %v (hint %q)", err, hint.Of(err))
	}
	again, err := Open(s.Root())
	if err != nil {
		t.Fatalf("reading needs writing: %v", err)
	}
	if _, err := again.List(); err != nil {
		t.Errorf("list: %v", err)
	}
}
