// Package docker runs bottles as containers of a Docker engine, over its
// Engine API. It makes the images, the networks and the containers of a run
// (docs/docker.md has each), connects the streams of guest and gateway, and takes all of it away
// again. What goes into a bottle, and what a bottle may reach, was decided
// before; it arrives here as a plan.
//
// Nothing secret is ever part of a call to the engine: what a container must
// know in secret it reads from its own standard input.
package docker

import (
	"context"
	"io"
	"sync"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/workspace"
)

// Name is the platform's, as --platform and CLAUDE_BOTTLE_PLATFORM take it.
const Name = "docker"

// Config is what a Platform needs from its surroundings.
type Config struct {
	Store *runs.Store
	// Getenv reads the launcher's environment: the engine's place and the
	// overrides.
	Getenv func(string) string
	// Home is the person's home directory, where docker keeps its
	// configuration.
	Home string
	// UID is the launcher's own; it is part of who owns the bottles.
	UID int
	// Binary is the Linux program that becomes guest and gateway; empty means
	// the one that is running.
	Binary string
	// Progress takes the output of image builds; nil discards it.
	Progress io.Writer
	// Copying is told, now and then, how much of a project was copied so far;
	// Copied, what the copy came to. Both may be nil.
	Copying func(files, bytes int64)
	Copied  func(workspace.Report)
}

// Platform is bottles on Docker. It connects to an engine when it first needs
// one.
type Platform struct {
	config Config
	owner  string

	turnLimit time.Duration // tests have another

	mu      sync.Mutex
	engines map[string]*engine // by the endpoint's host; "" is the one that find finds
}

var _ bottle.Platform = (*Platform)(nil)

// New makes a Platform and connects to nothing.
func New(config Config) *Platform {
	return &Platform{
		config:  config,
		owner:   ownerOf(config.UID, config.Store.Root()),
		engines: map[string]*engine{}, turnLimit: turnLimit,
	}
}

// Name is "docker".
func (p *Platform) Name() string { return Name }

func (p *Platform) progress() io.Writer {
	if p.config.Progress == nil {
		return io.Discard
	}
	return p.config.Progress
}

// engine connects to the engine that the environment names.
func (p *Platform) engine(ctx context.Context) (*engine, error) { return p.engineAt(ctx, "") }

// engineAt connects to the engine at host, a run's endpoint, or to the one
// that the environment names when host is empty.
func (p *Platform) engineAt(ctx context.Context, host string) (*engine, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.engines[host]; e != nil {
		return e, nil
	}
	var endpoints []endpoint
	var err error
	if host != "" {
		endpoints, err = local(endpoint{host, "the run's ledger"})
	} else {
		endpoints, err = locator{p.config.Getenv, p.config.Home}.find()
	}
	if err != nil {
		return nil, err
	}
	e, err := connect(ctx, endpoints)
	if err != nil {
		return nil, err
	}
	p.engines[host] = e
	p.engines[e.endpoint.Host] = e
	return e, nil
}

// Ready says whether an engine answers.
func (p *Platform) Ready(ctx context.Context) error {
	_, err := p.engine(ctx)
	return err
}

// Close drops the connections to the engines. Bottles are not touched.
func (p *Platform) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.engines {
		_ = e.Close()
	}
	clear(p.engines)
	return nil
}
