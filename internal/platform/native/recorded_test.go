//go:build linux

package native

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
)

// orphaned is a run whose launcher died with these in its ledger, and that no
// file of the platform knows.
func orphaned(t *testing.T, store *runs.Store, id runs.ID, resources ...runs.Resource) {
	t.Helper()
	run, err := store.Create(runs.Info{ID: id, Name: "claude-bottle-test", Platform: Name, State: runs.Running, Started: time.Now()}, resources...)
	check(t, err)
	check(t, run.Release())
}

// TestLostFilesGroupsAreRemoved sweeps a bottle whose file is lost: its control
// groups are in the ledger alone.
func TestLostFilesGroupsAreRemoved(t *testing.T) {
	limits := bottle.Limits{Memory: 256 << 20, CPUs: 1, PIDs: 100}
	needGroups(t, limits)
	groups, bus, err := groupsFor(limits, hierarchies(os.Getuid(), os.Getenv))
	check(t, err)
	if bus != "" {
		t.Skip("here systemd's scopes hold limits: see TestRecordedScope")
	}
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	check(t, err)
	id := store.Propose()
	var resources []runs.Resource
	for _, group := range groups {
		dir := filepath.Join(group.Parent, limitsName(id))
		file, err := makeGroup(group, dir)
		check(t, err)
		t.Cleanup(func() { _ = os.Remove(dir) })
		check(t, file.Close())
		resources = append(resources, runs.Resource{Kind: kindGroup, Name: dir})
	}
	orphaned(t, store, id, resources...)
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })
	swept, err := bottle.Sweep(t.Context(), store, p)
	if err != nil || len(swept.Stopped) != 1 {
		t.Errorf("%+v, %v", swept, err)
	}
	for _, group := range resources {
		if _, err := os.Stat(group.Name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", group.Name, err)
		}
	}
	if _, left, err := store.Load(id); err != nil || len(left) != 0 {
		t.Errorf("the ledger has %v, %v", left, err)
	}
}

// TestOthersGroupsStay is a ledger that names directories which are no control
// groups of its run: they stay, and the sweep says so.
func TestOthersGroupsStay(t *testing.T) {
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	check(t, err)
	id, other := store.Propose(), store.Propose()
	within := t.TempDir()
	dirs := []string{filepath.Join(within, limitsName(id)), filepath.Join(within, limitsName(other))}
	var resources []runs.Resource
	for _, dir := range dirs {
		check(t, os.Mkdir(dir, 0o700))
		resources = append(resources, runs.Resource{Kind: kindGroup, Name: dir})
	}
	orphaned(t, store, id, resources...)
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })
	_, err = bottle.Sweep(t.Context(), store, p)
	for i, why := range []string{": it is no control group", ": it is not of this run"} {
		if err == nil || !strings.Contains(err.Error(), dirs[i]+" of the ledger"+why) {
			t.Errorf("of %s it says %v", dirs[i], err)
		}
		if _, err := os.Stat(dirs[i]); err != nil {
			t.Error(err)
		}
	}
	if _, left, err := store.Load(id); err != nil || len(left) != len(dirs) {
		t.Errorf("the ledger has %v, %v", left, err)
	}
}

// TestRecordedScope reads a scope as it is in a ledger: one socket, and this
// run's unit, or nothing.
func TestRecordedScope(t *testing.T) {
	id := runs.ID("0123456789ab")
	unit := "claude-bottle-0123456789ab.scope"
	for recorded, ours := range map[string]bool{
		"unix:path=/run/user/1000/bus " + unit:                               true,
		"unix:path=/run/user/1000/bus claude-bottle-0123456789ac.scope":      false,
		"unix:path=/run/user/1000/bus ssh.service":                           false,
		"unix:path=/run/user/1000/bus":                                       false,
		"unixexec:path=/bin/sh " + unit:                                      false,
		"unix:path=/run/bus;unixexec:path=/bin/sh " + unit:                   false,
		"unix:path=/run/bus,guid=00000000000000000000000000000000 " + unit:   false,
		"tcp:host=localhost,port=1 " + unit:                                  false,
		"unix:path=/run/user/1000/bus " + unit + " and something beside it.": false,
	} {
		s, err := scopeOf(id, recorded)
		if (err == nil) != ours || ours && (s.Unit != unit || s.Bus+" "+s.Unit != recorded) {
			t.Errorf("%s: %v, %v", recorded, s, err)
		}
	}
}
