package runs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree/treetest"
)

func TestDefaultRoot(t *testing.T) {
	for _, c := range []struct {
		state, home string
		uid         int
		want        string
	}{
		{"/state", "/home/me", 1000, "/state/claude-bottle"},
		{"/state", "/root", 0, "/state/claude-bottle"},
		{"relative", "/home/me", 1000, "/home/me/.local/state/claude-bottle"},
		{"", "/home/me", 1000, "/home/me/.local/state/claude-bottle"},
		{"", "/root", 0, "/var/lib/claude-bottle"},
		{"", "", 1000, ""},
	} {
		env := map[string]string{"XDG_STATE_HOME": c.state, "HOME": c.home}
		got, err := DefaultRoot(func(name string) string { return env[name] }, c.uid)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%+v: %q, %v", c, got, err)
		}
		if err != nil && hint.Of(err) == "" {
			t.Errorf("%v has no hint", err)
		}
	}
}

func TestModes(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		s := open(t) // below a directory that is made before the umask is gone
		old := unix.Umask(0)
		defer unix.Umask(old)
		run := create(t, s, Info{})
		if err := run.MakeDir("record", 0o700, os.Geteuid(), os.Getegid()); err != nil {
			t.Fatal(err)
		}
		dir := os.FileMode(0o700)
		if os.Geteuid() == 0 {
			dir = 0o711 // so that the run's uid gets at what is its own
		}
		for path, want := range map[string]os.FileMode{
			s.Root(): dir, filepath.Join(s.Root(), "runs"): dir, run.Dir(): dir,
			run.Path("ledger.json"): 0o600, run.Path("lock"): 0o600, run.Path("record"): 0o700,
		} {
			if info, err := os.Lstat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s has mode %v (%v), want %v", path, info.Mode().Perm(), err, want)
			}
		}
		if err := os.Chmod(s.Root(), 0o777); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(s.Root()); err != nil {
			t.Fatal(err)
		}
		if info, _ := os.Lstat(s.Root()); info.Mode().Perm() != dir {
			t.Errorf("a state directory open to all stays %v", info.Mode())
		}
	})
}

func TestLookingLeavesNoTrace(t *testing.T) {
	root := filepath.Join(t.TempDir(), "state")
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	if infos, err := s.List(); err != nil || len(infos) > 0 {
		t.Errorf("list: %v, %v", infos, err)
	}
	if _, _, err := s.Load(s.Propose()); !errors.Is(err, ErrNotFound) {
		t.Errorf("load: %v", err)
	}
	if err := s.Tidy(t.Context()); err != nil {
		t.Errorf("tidy: %v", err)
	}
	if _, err := os.Lstat(root); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the state directory was made: %v", err)
	}
	other, err := Open(root) // another process makes the first run
	if err != nil {
		t.Fatal(err)
	}
	run := create(t, other, Info{})
	if _, _, err := s.Load(run.ID()); err != nil {
		t.Errorf("a run made later is not seen: %v", err)
	}
}

func TestStateDirectoryOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		if _, err := Open("/"); err == nil || hint.Of(err) == "" {
			t.Errorf("root's directory: %v", err)
		}
		return
	}
	dir := treetest.Reachable(t)
	_, err := Open(dir)
	if err == nil || !strings.Contains(err.Error(), "belongs to uid 64123") || hint.Of(err) == "" {
		t.Errorf("%v, want a refusal with a hint", err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(link); err == nil {
		t.Error("a link leads around the refusal")
	}
}

// TestStateDirectoryThatOthersCanReplace: whoever may write to a directory on the
// way can put another in its place.
func TestStateDirectoryThatOthersCanReplace(t *testing.T) {
	for what, test := range map[string]struct {
		mode os.FileMode
		uid  int
		gid  int
		good bool
	}{
		"closed":             {0o755, -1, -1, true},
		"open to all":        {0o757, -1, -1, false},
		"open, but sticky":   {0o777 | os.ModeSticky, -1, -1, true},
		"its own group's":    {0o775, -1, -1, true},
		"another group's":    {0o775, -1, 64123, false},
		"another's":          {0o755, 64123, -1, false},
		"another's, sticky":  {0o755 | os.ModeSticky, 64123, -1, false},
		"another's to read":  {0o755, -1, 64123, true},
		"sticky for a group": {0o775 | os.ModeSticky, -1, 64123, true},
	} {
		t.Run(what, func(t *testing.T) {
			if os.Geteuid() != 0 && test.uid+test.gid > 0 {
				t.Skip("only root gives a directory away")
			}
			way := filepath.Join(t.TempDir(), "way")
			if err := errors.Join(os.MkdirAll(filepath.Join(way, "more"), 0o755), os.Chown(way, test.uid, test.gid), os.Chmod(way, test.mode)); err != nil {
				t.Fatal(err)
			}
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(filepath.Join(way, "more"), link); err != nil {
				t.Fatal(err)
			}
			for _, path := range []string{filepath.Join(way, "state"), filepath.Join(way, "more", "state"), link} {
				store, err := Open(path)
				if err == nil {
					_, err = store.Create(Info{})
				}
				if (err == nil) != test.good || err != nil && (!strings.Contains(err.Error(), "in its place, by "+way) || hint.Of(err) == "") {
					t.Errorf("%s: %v", path, err)
				}
			}
		})
	}
}

// TestLinkOfSomebodyElse: in a directory that is open to all, the sticky bit lets
// nobody move our link, and another lead theirs elsewhere.
func TestLinkOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives a link away")
	}
	open, home := filepath.Join(t.TempDir(), "open"), t.TempDir()
	if err := errors.Join(os.Mkdir(open, 0o755), os.Chmod(open, 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	link := func(target, name string, uid int) string {
		name = filepath.Join(open, name)
		if err := errors.Join(os.Symlink(target, name), os.Lchown(name, uid, -1)); err != nil {
			t.Fatal(err)
		}
		return name
	}
	own, theirs := link(home, "own", 0), link(home, "theirs", 64123)
	over := link(theirs, "over", 0)
	for path, good := range map[string]bool{
		own: true, filepath.Join(own, "more"): true, theirs: false, filepath.Join(theirs, "more"): false,
		over: false, filepath.Join(over, "more"): false, link("own", "relative", 0): true, link("../open/theirs", "up", 0): false,
	} {
		store, err := Open(path)
		if err == nil {
			_, err = store.Create(Info{})
		}
		if (err == nil) != good || err != nil && (!strings.Contains(err.Error(), "by the link "+theirs) || hint.Of(err) == "") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestListToleratesWhatIsNotARun(t *testing.T) {
	s := open(t)
	whole := create(t, s, Info{Agent: "whole"})
	at := func(name string) string { return filepath.Join(s.Root(), "runs", name) }
	ledger := func(id, content string) {
		t.Helper()
		if err := os.MkdirAll(at(id), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(at(id), "ledger.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ledger("0000000000bad", "{")
	ledger("000000000null", "null")
	ledger("00000000other", `{"version":1,"run":{"id":"0000000000bad"}}`)
	ledger("00000000newer", `{"version":99,"run":{"id":"00000000newer"}}`)
	ledger("000000000long", strings.Repeat(" ", 2<<20))
	for _, name := range []string{"0000000nothing", "000000nothing", ".new-0000000000000", "foreign", "\xff", "lost+found"} {
		if err := os.MkdirAll(at(name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"version":1,"run":{"id":"000000000link"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	ledger("000000000link", "")
	ledger("000000000fifo", "")
	link, fifo := filepath.Join(at("000000000link"), "ledger.json"), filepath.Join(at("000000000fifo"), "ledger.json")
	err := errors.Join(os.Remove(link), os.Symlink(secret, link), os.Remove(fifo), unix.Mkfifo(fifo, 0o600),
		os.WriteFile(at("00000000afile"), nil, 0o600), os.Symlink(whole.Dir(), at("0000000symlnk")))
	if err != nil {
		t.Fatal(err)
	}
	infos, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	got := map[ID]State{}
	for _, info := range infos {
		got[info.ID] = info.State
		if info.State == Damaged && info.Problem == "" {
			t.Errorf("%s does not say what is wrong", info.ID)
		}
	}
	want := map[ID]State{whole.ID(): Launching}
	for _, id := range []ID{
		"0000000000bad", "000000000null", "00000000other", "00000000newer", "000000000long",
		"000000nothing", "000000000link", "000000000fifo",
	} {
		want[id] = Damaged
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the list is\n%v, want\n%v", got, want)
	}
	for _, id := range []ID{"00000000afile", "0000000symlnk"} { // what has lost its directory is no run, or it would be there for good
		if _, _, err := s.Load(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v", id, err)
		}
	}
	removeDamaged(t, s, "0000000000bad", "000000nothing", "000000000link")
	if _, err := os.Lstat(secret); err != nil {
		t.Errorf("what a link led to is gone: %v", err)
	}
}

func removeDamaged(t *testing.T, s *Store, ids ...ID) {
	t.Helper()
	for _, id := range ids {
		run, err := s.Lock(id)
		if err != nil {
			t.Errorf("lock damaged %s: %v", id, err)
			continue
		}
		if run.Info().State != Damaged {
			t.Errorf("%s is %v", id, run.Info())
		}
		if err := run.Discard(); err != nil {
			t.Errorf("remove damaged %s: %v", id, err)
		}
	}
}

func TestIDsThatArePathsAreRefused(t *testing.T) {
	s := open(t)
	for _, id := range []ID{"..", "../runs", "", "a/b", "000000000000/", ".new-00000000"} {
		if _, err := s.Lock(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Lock(%q): %v", id, err)
		}
		if _, _, err := s.Load(id); !errors.Is(err, ErrNotFound) {
			t.Errorf("Load(%q): %v", id, err)
		}
		if s.Alive(id) {
			t.Errorf("%q is alive", id)
		}
	}
	if _, err := s.Create(Info{ID: "../0123456789"}); err == nil {
		t.Error("a run was made outside the store")
	}
}

func TestCreateTwiceLeavesTheFirst(t *testing.T) {
	s := open(t)
	run := create(t, s, Info{Agent: "first"})
	if _, err := s.Create(Info{ID: run.ID(), Agent: "second"}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second run of one id: %v", err)
	}
	if info, _, err := s.Load(run.ID()); err != nil || info.Agent != "first" {
		t.Errorf("the first is now %+v, %v", info, err)
	}
	if err := run.Record(Resource{Kind: "k"}); err != nil {
		t.Error(err)
	}
}

func TestManyCreateAtOnce(t *testing.T) {
	s := open(t)
	other, err := Open(s.Root()) // as another process
	if err != nil {
		t.Fatal(err)
	}
	const n = 16
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			store := []*Store{s, other}[i%2]
			run, err := store.Create(Info{Agent: fmt.Sprint(i)})
			if err != nil {
				t.Error(err)
				return
			}
			if err := run.Record(Resource{Kind: "k", Name: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
			if err := store.Tidy(context.Background()); err != nil {
				t.Error(err)
			}
			if i%4 == 0 {
				if err := run.Discard(); err != nil {
					t.Error(err)
				}
				return
			}
			if err := run.Release(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	infos, err := s.List()
	if err != nil || len(infos) != n-n/4 {
		t.Errorf("%d runs, %v; want %d", len(infos), err, n-n/4)
	}
}

func TestLockAfterDiscard(t *testing.T) {
	s := open(t)
	run := create(t, s, Info{})
	// A second command opened the directory just before the first removed it.
	dir, err := s.openRun(run.ID())
	if err != nil {
		t.Fatal(err)
	}
	late := &Run{store: s, id: run.ID(), dir: dir, lock: -1}
	// The first gets no further than to hide it.
	hidden := filepath.Join(s.Root(), "runs", gonePrefix+string(run.ID()))
	if err := errors.Join(os.Rename(run.Dir(), hidden), run.Release()); err != nil {
		t.Fatal(err)
	}
	if err := late.take(); !errors.Is(err, ErrNotFound) {
		t.Errorf("a removed run was locked: %v", err)
	}
	_ = late.release()
	if _, err := os.Lstat(run.Dir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the removed run is back: %v", err)
	}
}

func TestTidyLeavesWhatIsBeingRemoved(t *testing.T) {
	s := open(t)
	run := create(t, s, Info{})
	hidden := filepath.Join(s.Root(), "runs", gonePrefix+string(run.ID()))
	if err := os.Rename(run.Dir(), hidden); err != nil {
		t.Fatal(err)
	}
	if err := s.Tidy(context.Background()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(hidden); err != nil {
		t.Errorf("Tidy removed what another is removing: %v", err)
	}
	if err := run.Release(); err != nil {
		t.Fatal(err)
	}
	clean(t, s, "tidy")
}

func TestDiscardHostileWork(t *testing.T) {
	treetest.EachUser(t, func(t *testing.T) {
		s := open(t)
		run := create(t, s, Info{})
		outside := t.TempDir()
		canary := filepath.Join(outside, "canary")
		if err := os.WriteFile(canary, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"work", "home"} {
			if err := run.MakeDir(name, 0o755, os.Geteuid(), os.Getegid()); err != nil {
				t.Fatal(err)
			}
		}
		treetest.Hostile(t, run.Path("work"), outside)
		if err := os.Chmod(run.Path("home"), 0); err != nil {
			t.Fatal(err)
		}
		if err := run.Discard(); err != nil {
			t.Fatal(err)
		}
		clean(t, s, "discard")
		if _, err := os.Lstat(canary); err != nil {
			t.Errorf("what a link led to: %v", err)
		}
	})
}
