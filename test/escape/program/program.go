// Package program has the program that attacks bottles, for tests that run it
// in one.
package program

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Variable names it, for a test that runs as a user who cannot build it.
const Variable = "CLAUDE_BOTTLE_TEST_ESCAPE"

// Path is where it is.
func Path(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var built = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(Variable); path != "" {
		return path, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path := filepath.Join(cache, "claude-bottle-test", "escape")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	// Put in place as a whole: other packages' tests run it too.
	draft := fmt.Sprintf("%s.%d", path, os.Getpid())
	build := exec.Command("go", "build", "-trimpath", "-o", draft, "claude-bottle/test/escape/cmd/escape")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program that attacks: %w\n%s", err, out)
	}
	return path, os.Rename(draft, path)
})

// Project makes a directory that holds it as "escape", for a bottle's
// workspace.
func Project(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	data, err := os.ReadFile(Path(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "escape"), data, 0o755); err != nil { //nolint:gosec // G306: a program
		t.Fatal(err)
	}
	return dir
}
