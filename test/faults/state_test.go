package faults_test

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree/treetest"
)

func match(pattern string) *regexp.Regexp { return regexp.MustCompile(pattern) }

// TestStateLost takes the state directory away from under a bottle: only
// cleanup acts without a ledger, and finds all by label.
func TestStateLost(t *testing.T) {
	for name, lose := range map[string]func(p *place) error{
		"all of it": func(p *place) error { return os.RemoveAll(p.root()) },
		"the run": func(p *place) error {
			return os.RemoveAll(filepath.Join(p.root(), "runs"))
		},
		"the ledger": func(p *place) error {
			ledgers, _ := filepath.Glob(filepath.Join(p.root(), "runs", "*", "ledger.json"))
			return os.Remove(ledgers[0])
		},
		"the ledger's end": func(p *place) error {
			ledgers, _ := filepath.Glob(filepath.Join(p.root(), "runs", "*", "ledger.json"))
			return os.Truncate(ledgers[0], 20)
		},
	} {
		if name != "all of it" && !all() {
			continue
		}
		t.Run(name+", after the launcher", func(t *testing.T) {
			p := newPlace(t).warm()
			p.orphan()
			p.check(lose(p))
			p.afterLoss(name)
		})
		t.Run(name+", before the launcher ends", func(t *testing.T) {
			needAll(t)
			p := newPlace(t).warm()
			launcher := p.agentAtWork()
			p.check(lose(p))
			got := p.endWork(launcher)
			p.reports(name, got)
			p.afterLoss(name)
		})
	}
}

// afterLoss is back by cleanup alone, where the state directory may be made
// again. The work of a run whose ledger is lost goes with it: cleanup said so.
func (p *place) afterLoss(what string) {
	p.t.Helper()
	if got := p.run("cleanup", "--yes"); got.code != 0 {
		p.t.Errorf("%s: cleanup: %+v", what, got)
	}
	if got := p.run("start", p.agent, "--yes", "--", "true"); got.code != 0 {
		p.t.Errorf("%s: the next launch: %+v", what, got)
	}
	p.backBy(what, false, "cleanup", "--yes")
}

// diskPlaces runs a test in a place of each platform whose state directory is a
// small file system.
func diskPlaces(t *testing.T, test func(t *testing.T, p *place, dir string)) {
	treetest.NeedRoot(t)
	needAll(t)
	mount := func(t *testing.T, p *place) {
		p.check(os.Mkdir(p.root(), 0o755))
		treetest.Mount(t, p.root(), "size=64m,mode=711")
	}
	t.Run("docker", func(t *testing.T) {
		p := newPlace(t)
		mount(t, p)
		test(t, p.warm(), p.root())
	})
	t.Run("native", func(t *testing.T) {
		p := nativePlace(t, func(p *place) { mount(t, p) })
		test(t, p, p.root())
	})
}

// fill leaves no room on the file system of dir. The returned function makes
// room again.
func (p *place) fill(dir string) (free func()) {
	p.t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.Create(path)
	p.check(err)
	defer file.Close()
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
	}
	return func() { p.check(os.Remove(path)) }
}

// TestDiskFull fills the state directory's disk before a launch and while the
// agent works. The run can be ended all the same.
func TestDiskFull(t *testing.T) { diskPlaces(t, diskFull) }

func diskFull(t *testing.T, p *place, dir string) {
	free := p.fill(dir)
	got := p.life()
	if got.code != 125 {
		t.Errorf("a launch on a full disk: %+v", got)
	}
	p.reports("a full disk", got)
	p.run("ps")
	free()
	p.back("a launch on a full disk", false)

	launcher := p.agentAtWork()
	free = p.fill(dir)
	got = p.endWork(launcher)
	t.Logf("the disk is full when the agent ends: %+v", got)
	p.run("ps")
	free()
	p.back("a full disk at work", true)

	p.orphan()
	free = p.fill(dir)
	p.run("ps")
	free()
	p.back("a sweep on a full disk", true)
}

// TestDiskReadOnly makes the state directory's disk read-only.
func TestDiskReadOnly(t *testing.T) { diskPlaces(t, diskReadOnly) }

func diskReadOnly(t *testing.T, p *place, dir string) {
	// This mount alone: a gateway writes through another one.
	// A native bottle's, which is dying with its launcher, through this one.
	remount := func(flags uintptr) error {
		for end := time.Now().Add(settles); ; {
			err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|flags, "")
			if !errors.Is(err, unix.EBUSY) || time.Now().After(end) {
				return err
			}
		}
	}
	p.check(remount(unix.MS_RDONLY))
	if got := p.life(); got.code != 125 {
		t.Errorf("a launch on a read-only disk: %+v", got)
	}
	for _, args := range [][]string{{"ps"}, {"ps", "--all"}} {
		if got := p.run(args...); got.code != 0 {
			t.Errorf("%v on a read-only disk: %+v", args, got)
		}
	}
	p.check(remount(0))
	p.back("a launch on a read-only disk", false)

	p.orphan()
	p.check(remount(unix.MS_RDONLY))
	p.run("ps")
	p.check(remount(0))
	p.back("a sweep on a read-only disk", true)
}
