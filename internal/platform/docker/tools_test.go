package docker

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/wire"
	testengine "claude-bottle/test/engine"
	"claude-bottle/test/everyday"
)

// TestToolsWork: the programs of this machine work in a bottle, under the
// engine's own filter and on gVisor's kernel, or are told no in a way that they
// understand. The image's own are tried by the TestConfinedBottles of test/e2e.
func TestToolsWork(t *testing.T) {
	for _, isolation := range []bottle.Isolation{bottle.Runc, bottle.Runsc} {
		t.Run(string(isolation), func(t *testing.T) {
			if isolation == bottle.Runsc {
				testengine.NeedGvisor(t)
			}
			b := withPrograms(t, isolation)
			for _, tool := range everyday.All("$HOME/go-build") {
				t.Run(tool.Name, func(t *testing.T) {
					testengine.Tool(t, tool.Needs)
					if got := runTool(t, b, tool); got != tool.Want {
						t.Errorf("%q, want %q", got, tool.Want)
					}
				})
			}
		})
	}
}

// withPrograms is a bottle with this machine's programs.
func withPrograms(t *testing.T, isolation bottle.Isolation) bottle.Bottle {
	t.Helper()
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	onAgent(func(options *client.ContainerCreateOptions) {
		for target, source := range map[string]string{
			"/usr": "/usr", "/bin": "/usr/bin", "/lib": "/usr/lib", "/lib64": "/usr/lib64",
			"/etc/alternatives": "/etc/alternatives", "/etc/java-17-openjdk": "/etc/java-17-openjdk",
		} {
			if _, err := os.Stat(source); err != nil {
				continue
			}
			options.HostConfig.Mounts = append(options.HostConfig.Mounts, mount.Mount{
				Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true,
			})
		}
	})(t, b, e)
	spec := b.spec()
	spec.Isolation = isolation
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	launched, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := launched.Close(); err != nil {
			t.Error(err)
		}
	})
	return launched
}

func runTool(t *testing.T, b bottle.Bottle, tool everyday.Tool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var out bytes.Buffer
	start := wire.Start{Argv: []string{"sh", "-c", "mkdir -p ~/tool && cd ~/tool && rm -rf * && export TMPDIR=$HOME TMUX_TMPDIR=$HOME\n" + tool.Script}}
	if _, err := b.Exec(ctx, start, wire.Streams{Stdout: &out, Stderr: &out}); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}
