// Package variant builds the parts of our program that are in bottles with pieces
// of their source replaced, to see what notices that they are gone: a guest
// without its filter, a gateway that allows everything.
package variant

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Variant is our program with pieces of its source replaced, one after the
// other.
type Variant []Replacement

// Replacement is of text that a file of the module has once.
type Replacement struct{ File, Old, With string }

// Workshop builds variants, each once.
type Workshop struct {
	dir   string
	mu    sync.Mutex // guards built, and lets one be built at a time
	built map[string]string
}

// Open makes a workshop that is gone with the test.
func Open(t *testing.T) *Workshop {
	t.Helper()
	return &Workshop{dir: t.TempDir(), built: map[string]string{}}
}

// Build is the program of a variant, compiled over an overlay of its source
// when it was not before.
func (w *Workshop) Build(t *testing.T, v Variant) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprint(v)
	if w.built[key] == "" {
		dir, err := os.MkdirTemp(w.dir, "v")
		if err != nil {
			t.Fatal(err)
		}
		if w.built[key], err = v.build(t, dir); err != nil {
			t.Fatal(err)
		}
	}
	return w.built[key]
}

func (v Variant) build(t *testing.T, dir string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	replaced := map[string]string{}
	for i, r := range v {
		path := filepath.Join(root, r.File)
		from := path
		if earlier := replaced[path]; earlier != "" {
			from = earlier
		}
		source, err := os.ReadFile(from)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(source), r.Old); n != 1 {
			return "", fmt.Errorf("%s has %q %d times", r.File, r.Old, n)
		}
		replaced[path] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(replaced[path], []byte(strings.Replace(string(source), r.Old, r.With, 1)), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "claude-bottle")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-overlay", file, "-o", program, "claude-bottle/cmd/part")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return program, nil
}

// moduleRoot is where go.mod is, at or above the test's directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the test's directory")
		}
		dir = filepath.Dir(dir)
	}
}
