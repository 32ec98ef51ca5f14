package docker

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// workshop builds variants of our program, each once.
type workshop struct {
	dir   string
	mu    sync.Mutex // guards built, and lets one be built at a time
	built map[string]string
}

func newWorkshop(t *testing.T) *workshop {
	t.Helper()
	return &workshop{dir: t.TempDir(), built: map[string]string{}}
}

// build compiles a variant over an overlay of its source, when it was not
// built before.
func (w *workshop) build(t *testing.T, v variant) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	key := fmt.Sprint(v)
	if w.built[key] == "" {
		dir, err := os.MkdirTemp(w.dir, "v")
		if err != nil {
			t.Fatal(err)
		}
		w.built[key] = v.build(t, dir)
	}
	return w.built[key]
}

func (v variant) build(t *testing.T, dir string) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	replaced := map[string]string{}
	for i, r := range v {
		path := filepath.Join(root, r.file)
		from := path
		if earlier := replaced[path]; earlier != "" {
			from = earlier
		}
		source, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(source), r.old) != 1 {
			t.Fatalf("%s has %q %d times", r.file, r.old, strings.Count(string(source), r.old))
		}
		replaced[path] = filepath.Join(dir, fmt.Sprintf("%d.go", i))
		if err := os.WriteFile(replaced[path], []byte(strings.Replace(string(source), r.old, r.with, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "claude-bottle")
	build := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-overlay", file, "-o", program, "claude-bottle/cmd/claude-bottle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return program
}
