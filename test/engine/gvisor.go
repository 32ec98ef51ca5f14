package engine

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// gvisorVersion is of the module gvisor.dev/gvisor, on the branch that
// builds with the go command.
const gvisorVersion = "v0.0.0-20260905035102-160fafc42237"

// Gvisor returns the path of runsc, built into the cache when it is not
// there (one to two minutes).
func Gvisor(ctx context.Context, cache string, log io.Writer) (string, error) {
	dir := filepath.Join(cache, "gvisor-"+gvisorVersion)
	path := filepath.Join(dir, "runsc")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	env := []string{"CGO_ENABLED=0", "GOFLAGS=", "GOBIN=" + dir}
	// Outside the work tree, so that no go.mod has a say.
	if err := run(ctx, log, cache, env, "go", "install", "gvisor.dev/gvisor/runsc@"+gvisorVersion); err != nil {
		return "", fmt.Errorf("build gVisor: %w", err)
	}
	return path, nil
}
