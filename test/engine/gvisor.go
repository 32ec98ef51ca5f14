package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
)

// gvisorVersion is of the module gvisor.dev/gvisor, on the branch that
// builds with the go command.
const gvisorVersion = "v0.0.0-20260905035102-160fafc42237"

// FindGvisor returns the path of a runsc that is there: in PATH, or in the
// cache.
func FindGvisor() (string, error) {
	if path, err := exec.LookPath("runsc"); err == nil {
		return path, nil
	}
	cache, err := Cache()
	if err != nil {
		return "", err
	}
	path := cachedGvisor(cache)
	_, err = os.Stat(path)
	return path, err
}

func cachedGvisor(cache string) string {
	return filepath.Join(cache, "gvisor-"+gvisorVersion, "runsc")
}

// Gvisor returns the path of runsc, built into the cache when it is not
// there (one to two minutes).
func Gvisor(ctx context.Context, cache string, log io.Writer) (string, error) {
	path := cachedGvisor(cache)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOBIN=" + filepath.Dir(path)}
	// Outside the work tree, so that no go.mod has a say.
	if err := run(ctx, log, cache, env, "go", "install", "gvisor.dev/gvisor/runsc@"+gvisorVersion); err != nil {
		return "", fmt.Errorf("build gVisor: %w", err)
	}
	return path, nil
}
