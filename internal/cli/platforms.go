package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/platform/docker"
	"claude-bottle/internal/platform/native"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/workspace"
)

// auto is the platform's name that leaves the choice to us.
const auto = "auto"

// PlatformConfig is what every platform is constructed with.
type PlatformConfig struct {
	Store  *runs.Store
	Getenv func(name string) string
	// Home is the person's home directory, for the engine's configuration.
	Home string
	UID  int
	// Progress gets one line for each step that takes a person's time.
	Progress io.Writer
	// Copying is told how much of a project was copied so far; Copied, what the
	// copy came to.
	Copying func(files, bytes int64)
	Copied  func(workspace.Report)
}

// NewPlatform constructs a platform. It does not talk to it yet.
type NewPlatform func(PlatformConfig) bottle.Platform

// platformNames are what --platform takes.
func (a *App) platformNames() []string {
	return append(slices.Sorted(maps.Keys(a.Platforms)), auto)
}

// newDocker is the NewPlatform of docker.
func newDocker(config PlatformConfig) bottle.Platform {
	return docker.New(docker.Config{
		Store: config.Store, Getenv: config.Getenv, Home: config.Home, UID: config.UID, Progress: config.Progress,
		Copying: config.Copying, Copied: config.Copied,
	})
}

// newNative is the NewPlatform of native.
func newNative(config PlatformConfig) bottle.Platform {
	return native.New(native.Config{
		Store: config.Store, Getenv: config.Getenv, Home: config.Home, UID: config.UID, Environ: os.Environ(), Progress: config.Progress,
		Copying: config.Copying, Copied: config.Copied,
	})
}

// host is where runs are remembered and bottles run.
type host struct {
	store *runs.Store
	// platform is the one that new bottles go to, and why says who chose it.
	platform bottle.Platform
	why      string
	// open says that the choice is still to be made, by settle.
	open bool
	// platforms are all, for what other launches left.
	platforms []bottle.Platform
	// release takes back what warm did; nil when it did nothing.
	release func()
}

// warm lets the platform of a launch that will come, and that nobody is asked
// about, begin with what takes time. cool takes it back, when none came.
func (h *host) warm(uid, gid int) {
	if p, ok := h.platform.(interface {
		Warm(uid, gid int) (release func())
	}); ok {
		h.release = p.Warm(uid, gid)
	}
}

func (h *host) cool() {
	if h.release != nil {
		h.release()
	}
}

// choose says which platform is meant and why: the flag's, the variable's, or
// the default.
func (a *App) choose(flag string) (name, why string) {
	name, why = flag, "asked for by --platform"
	if name == "" {
		name, why = a.Getenv("CLAUDE_BOTTLE_PLATFORM"), "asked for by CLAUDE_BOTTLE_PLATFORM"
	}
	if name == "" || name == auto {
		return a.DefaultPlatform, byDefault
	}
	return name, why
}

// byDefault is why a platform is taken that nobody asked for.
const byDefault = "the default"

// namesEngine says whether the person names an engine: then that one is meant,
// also when it does not answer.
func (a *App) namesEngine() bool {
	return a.Getenv("DOCKER_HOST") != "" || a.Getenv("DOCKER_CONTEXT") != ""
}

// ready is a platform that can say whether bottles would run on it now.
type ready interface {
	Ready(ctx context.Context) error
}

// settle makes the choice that was left to us: the first platform of those
// preferred that is ready. When none is, the first says why.
func (h *host) settle(ctx context.Context, preferred []string) error {
	if !h.open {
		return nil
	}
	var first error
	for _, name := range preferred {
		i := slices.IndexFunc(h.platforms, func(p bottle.Platform) bool { return p.Name() == name })
		if i < 0 {
			continue
		}
		err := error(nil)
		if p, ok := h.platforms[i].(ready); ok {
			err = p.Ready(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			h.platform, h.open = h.platforms[i], false
			if first != nil {
				h.why = "chosen: " + oneLine(first)
			}
			return nil
		}
		if first == nil {
			first = err
			continue
		}
		// Each has its own advice; that for the preferred one comes first.
		advice := hint.Of(first)
		if own := hint.Of(err); own != "" && own != advice {
			advice = strings.TrimPrefix(advice+"; or, for "+name+": "+own, "; or, ")
		}
		first = hint.With(fmt.Errorf("%w; and %s: %w", first, name, err), advice)
	}
	return first
}

// oneLine is an error's first line.
func oneLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// host opens the store and constructs every platform; none is talked to yet.
// named is the one for new bottles, by flag, or empty.
func (a *App) host(named string) (*host, error) {
	named, why := a.choose(named)
	if _, ok := a.Platforms[named]; !ok {
		return nil, withCode(exitUsage, hint.With(fmt.Errorf("unknown platform %q", named),
			"the platforms are "+strings.Join(a.platformNames(), ", ")))
	}
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	h := &host{why: why, open: why == byDefault && len(a.Preferred) > 0 && !a.namesEngine()}
	if h.store, err = a.store(); err != nil {
		return nil, err
	}
	for name, construct := range a.Platforms {
		p := construct(PlatformConfig{
			Store: h.store, Getenv: a.Getenv, Home: home, UID: a.UID, Progress: &noteLines{app: a},
			Copying: a.copying, Copied: a.copied,
		})
		h.platforms = append(h.platforms, p)
		if name == named {
			h.platform = p
		}
	}
	return h, nil
}

// platformOf is the platform on which a run was launched.
func (h *host) platformOf(info runs.Info) (bottle.Platform, error) {
	for _, p := range h.platforms {
		if p.Name() == info.Platform {
			return p, nil
		}
	}
	return nil, fmt.Errorf("run %s is on platform %q, which this program does not know", info.ID, info.Platform)
}

// store opens the store of runs.
func (a *App) store() (*runs.Store, error) {
	root, err := a.stateRoot()
	if err != nil {
		return nil, err
	}
	return runs.Open(root)
}

func (a *App) stateRoot() (string, error) { return runs.DefaultRoot(a.Getenv, a.UID) }

// trustStore holds the person's answers about projects' manifests.
func (a *App) trustStore() (*manifest.TrustStore, error) {
	root, err := a.stateRoot()
	if err != nil {
		return nil, err
	}
	return manifest.OpenTrust(filepath.Join(root, "trusted.json")), nil
}
