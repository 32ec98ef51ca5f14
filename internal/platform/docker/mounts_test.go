package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMounts sees a directory of the host in a container, under the name that
// the manifest gives, and nothing beside it; it cannot be written to.
func TestMounts(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	dir, err := os.MkdirTemp("/opt", "claude-bottle-test-")
	if err != nil {
		t.Skip("only root makes a directory that is neither temporary nor a home: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	tool, link := filepath.Join(dir, "tool"), filepath.Join(dir, "current")
	for _, made := range []error{
		os.Chmod(dir, 0o755), os.Mkdir(tool, 0o777), os.Chmod(tool, 0o777), os.Symlink(tool, link),
		os.WriteFile(filepath.Join(tool, "hello"), []byte("hello"), 0o644), os.WriteFile(filepath.Join(dir, "beside"), nil, 0o644),
	} {
		if made != nil {
			t.Fatal(made)
		}
	}
	spec := b.spec()
	spec.Mounts = []string{link}
	out := sh(t, b.launch(t, spec), "cat "+link+"/hello; ls "+dir+"; touch "+link+"/x 2>&1 || true")
	if !strings.HasPrefix(out, "hellocurrent\n") || !strings.Contains(out, "Read-only") {
		t.Errorf("inside: %s", out)
	}
}
