// Package engine gets tests a real Docker engine: one that answers already,
// or, as root, one that it installs, starts with a data root, an address and
// a process id of its own, and stops again. It also makes the parts that can
// not be pulled: the base image of the recipe and gVisor's runtime. What
// takes long is kept in a cache outside the work tree.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// answerLimit is how long an engine may take to answer a ping.
const answerLimit = 5 * time.Second

// Engine is an engine that answers.
type Engine struct {
	// Host is its address, as DOCKER_HOST has it.
	Host string

	api    *client.Client
	daemon *daemon // nil when somebody else's
	cache  string
	log    io.Writer
}

// Options say how to get an engine.
type Options struct {
	// Log gets what is done, and the output of what takes long.
	Log io.Writer
	// Gvisor builds runsc, when it is not in the cache, and registers it.
	// An engine of somebody else is taken as it is.
	Gvisor bool
	// Base fetches what the base image is made of, when the cache is new: Base
	// is called next.
	Base bool
}

// Up finds an engine or starts one. Down must be called when it is no longer
// needed.
func Up(ctx context.Context, o Options) (*Engine, error) {
	cache, err := Cache()
	if err != nil {
		return nil, err
	}
	host, err := Find(ctx)
	if err == nil {
		fmt.Fprintf(o.Log, "engine: using the one at %s\n", host)
		return open(host, cache, o.Log)
	}
	fmt.Fprintf(o.Log, "engine: none answers (%v)\n", err)
	d, err := start(ctx, cache, o)
	if err != nil {
		return nil, err
	}
	e, err := open(d.host(), cache, o.Log)
	if err != nil {
		return nil, errors.Join(err, d.stop(o.Log))
	}
	e.daemon = d
	return e, nil
}

// Down stops the engine if Up started it.
func (e *Engine) Down() error {
	err := e.api.Close()
	if e.daemon == nil {
		return err
	}
	return errors.Join(err, e.daemon.stop(e.log))
}

// Parts are those that tests can rely on.
func (e *Engine) Parts() []string {
	parts := []string{PartEngine, PartBase, PartTime}
	if e.daemon != nil {
		parts = append(parts, PartOwn)
	}
	if e.daemon != nil && e.daemon.gvisor {
		parts = append(parts, PartGvisor)
	}
	return parts
}

// Find returns the address of the engine that docker would use, when it
// answers.
func Find(ctx context.Context) (string, error) {
	host := os.Getenv("DOCKER_HOST")
	if host == "" {
		out, err := exec.CommandContext(ctx, "docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").Output()
		host = strings.TrimSpace(string(out))
		if err != nil || host == "" {
			host = client.DefaultDockerHost
		}
	}
	api, err := client.New(client.WithHost(host))
	if err != nil {
		return "", fmt.Errorf("engine %s: %w", host, err)
	}
	defer api.Close()
	return host, ping(ctx, api)
}

func ping(ctx context.Context, api *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	_, err := api.Ping(ctx, client.PingOptions{NegotiateAPIVersion: true})
	return err
}

func open(host, cache string, log io.Writer) (*Engine, error) {
	api, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, fmt.Errorf("engine %s: %w", host, err)
	}
	return &Engine{Host: host, api: api, cache: cache, log: log}, nil
}

// Cache is the directory for what takes long to make:
// $XDG_CACHE_HOME/claude-bottle-test.
func Cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory: %w", err)
	}
	dir = filepath.Join(dir, "claude-bottle-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("make the cache directory: %w", err)
	}
	return dir, nil
}

// run runs a command with its output in log, shown whole in the error when
// it fails.
func run(ctx context.Context, log io.Writer, dir string, env []string, name string, args ...string) error {
	fmt.Fprintf(log, "engine: %s %s\n", name, strings.Join(args, " "))
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, out)
	}
	return nil
}
