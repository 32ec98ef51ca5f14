package docker

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
)

// TestAnotherNonce: an engine that mounts other files than those of this
// machine, as one behind a forwarded socket would, is found out by the nonce,
// and its launch is undone.
func TestAnotherNonce(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "nonce")
	if err := errors.Join(os.WriteFile(other, []byte("of another machine"), 0o644), os.Chmod(filepath.Dir(other), 0o755)); err != nil { //nolint:gosec // the agent reads it
		t.Fatal(err)
	}
	mounted := false
	onAgent(func(options *client.ContainerCreateOptions) {
		for i := range options.HostConfig.Mounts {
			if m := &options.HostConfig.Mounts[i]; m.Type == mount.TypeBind && m.Target == insideNonce {
				m.Source, mounted = other, true
			}
		}
	})(t, b, e)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if !mounted || err == nil || !strings.Contains(err.Error(), "nonce") {
		t.Errorf("mounted %v, error %v", mounted, err)
	}
	b.noRuns(t)
}
