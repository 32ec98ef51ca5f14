package manifest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/hint"
)

var (
	hashA = strings.Repeat("a", 64)
	hashB = strings.Repeat("b", 64)
)

func TestTrust(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "trust.json")
	store := OpenTrust(path)
	if store.Trusted("/p/claude-bottle.yaml", hashA) || store.Check() != nil {
		t.Fatal("a store that does not exist is empty and in order")
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("asking made a directory")
	}
	if err := store.Record("/p/claude-bottle.yaml", hashA); err != nil {
		t.Fatal(err)
	}
	if err := store.Record("/p/claude-bottle.yaml", hashB); err != nil {
		t.Fatal(err)
	}
	other := OpenTrust(path)
	for _, test := range []struct {
		path, hash string
		want       bool
	}{
		{"/p/claude-bottle.yaml", hashA, true},
		{"/p/claude-bottle.yaml", hashB, true}, // another branch
		{"/p/claude-bottle.yaml", strings.Repeat("c", 64), false},
		{"/q/claude-bottle.yaml", hashA, false},
		{"/p/claude-bottle.yaml", "", false},
	} {
		if got := other.Trusted(test.path, test.hash); got != test.want {
			t.Errorf("Trusted(%s, %s) = %t", test.path, test.hash, got)
		}
	}
	for name, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	for _, bad := range [][2]string{{"relative", hashA}, {"/p\xff", hashA}, {"/p", "short"}, {"/p", strings.Repeat("A", 64)}} {
		if err := store.Record(bad[0], bad[1]); err == nil {
			t.Errorf("Record(%q, %q) is taken", bad[0], bad[1])
		}
	}
}

func TestTrustOfManyWriters(t *testing.T) {
	path := filepath.Join(t.TempDir(), "trust.json")
	var writers sync.WaitGroup
	for i := range 20 {
		writers.Go(func() {
			if err := OpenTrust(path).Record(fmt.Sprintf("/p%d", i), hashA); err != nil {
				t.Error(err)
			}
		})
	}
	writers.Wait()
	for i := range 20 {
		if !OpenTrust(path).Trusted(fmt.Sprintf("/p%d", i), hashA) {
			t.Errorf("the record of writer %d is lost", i)
		}
	}
}

func TestTrustIsBounded(t *testing.T) {
	var list []trusted
	for i := range maxTrusted + 100 {
		list = bounded(append(list, trusted{fmt.Sprintf("/p%d", i/40), fmt.Sprintf("%064x", i)}))
	}
	if len(list) > maxTrusted || list[len(list)-1].Hash != fmt.Sprintf("%064x", maxTrusted+99) {
		t.Errorf("%d entries, the last %v", len(list), list[len(list)-1])
	}
	count := 0
	for _, entry := range list {
		if entry.Path == "/p50" {
			count++
		}
	}
	if count != hashesAProject {
		t.Errorf("%d hashes of one project", count)
	}
}

// TestDamagedTrust never takes a store that somebody else could have written,
// or that is not whole, for a yes, and never writes over it.
func TestDamagedTrust(t *testing.T) {
	whole := fmt.Sprintf(`{"version":1,"trusted":[{"path":"/p","hash":%q}]}`, hashA)
	for name, spoil := range map[string]func(t *testing.T, path string){
		"cut":       func(t *testing.T, path string) { write(t, path, whole[:len(whole)-1]) },
		"empty":     func(t *testing.T, path string) { write(t, path, "") },
		"two":       func(t *testing.T, path string) { write(t, path, whole+whole) },
		"version":   func(t *testing.T, path string) { write(t, path, strings.Replace(whole, ":1,", ":2,", 1)) },
		"key":       func(t *testing.T, path string) { write(t, path, strings.Replace(whole, "path", "paht", 1)) },
		"hash":      func(t *testing.T, path string) { write(t, path, strings.Replace(whole, hashA, "*", 1)) },
		"large":     func(t *testing.T, path string) { write(t, path, whole+strings.Repeat(" ", maxTrustFile)) },
		"binary":    func(t *testing.T, path string) { write(t, path, "\x00\xff\x00") },
		"writable":  func(t *testing.T, path string) { write(t, path, whole); chmod(t, path, 0o622) },
		"directory": func(t *testing.T, path string) { mkdir(t, path) },
		"link": func(t *testing.T, path string) {
			write(t, path+".target", whole)
			if err := os.Symlink(path+".target", path); err != nil {
				t.Fatal(err)
			}
		},
		"owner": func(t *testing.T, path string) {
			write(t, path, whole)
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			if err := os.Chown(path, 12345, 12345); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "trust.json")
			spoil(t, path)
			before, _ := os.ReadFile(path)
			store := OpenTrust(path)
			if store.Trusted("/p", hashA) {
				t.Error("a damaged store trusts")
			}
			if err := store.Check(); err == nil || hint.Of(err) == "" {
				t.Errorf("Check: %v, hint %q", err, hint.Of(err))
			}
			if err := store.Record("/q", hashA); err == nil || hint.Of(err) == "" {
				t.Errorf("Record: %v, hint %q", err, hint.Of(err))
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("a damaged store was written over")
			}
		})
	}
	path := filepath.Join(t.TempDir(), "trust.json")
	write(t, path, whole)
	if !OpenTrust(path).Trusted("/p", hashA) {
		t.Error("the store that is spoilt above is not in order before")
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
