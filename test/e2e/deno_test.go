package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/engine"
)

const denoVersion = "2.9.6"

// denoOnHost is the program of an npm package, which is installed once, outside
// the tree.
func denoOnHost(t *testing.T) string {
	t.Helper()
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	name := "@deno/linux-" + arch + "-glibc@" + denoVersion
	cache, err := engine.Cache()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "host-"+strings.ReplaceAll(name, "/", "-"))
	program := filepath.Join(dir, "package", "deno")
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return program
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	pack := exec.CommandContext(ctx, "sh", "-ec", `tar -xzf "$(npm pack --silent "$0")" && rm ./*.tgz && chmod 755 package/deno`, name)
	pack.Dir = dir
	if out, err := pack.CombinedOutput(); err != nil {
		engine.Missing(t, engine.PartTools, fmt.Sprintf("get %s: %v\n%s", name, err, out))
	}
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return program
}
