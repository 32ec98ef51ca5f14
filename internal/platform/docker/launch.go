package docker

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// launch is one launch under way. Its steps are in the order of this file;
// those that do not need each other run at once.
type launch struct {
	*bottle.Launching
	platform *Platform
	engine   *engine
	plan     bottle.Plan
	parts    parts
	env      []string // of the image
	nonce    string
	handover string // the nonce by which the gateway knows the guest
	word     string // what the probe's canaries say
	// inspection holds the run's authority; the plan has only its files.
	inspection bottle.Inspection
	watched    []wire.Watched

	// What only the gateway needs, made while the rest goes on.
	gatewayImage, egress *promise[string]

	made made
}

// made is what the engine gave so far.
type made struct {
	Agent, Gateway, Network string // ids
	agent, gateway          *stream
	whole                   bool // there is nothing but these
}

// Launch does what plan says, all or nothing.
func (p *Platform) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (_ bottle.Bottle, err error) {
	if plan.Docker == nil {
		return nil, fmt.Errorf("launch %s: the plan is not docker's", plan.Name)
	}
	if err := platform.CheckMounts(ctx, plan, p.config.Home, p.config.Store.Root()); err != nil {
		return nil, err
	}
	e, err := p.engineAt(ctx, plan.Docker.Endpoint)
	if err != nil {
		return nil, err
	}
	launching, err := bottle.Begin(p.config.Store, plan, runs.Place{Endpoint: plan.Docker.Endpoint, Engine: plan.Docker.Engine})
	if err != nil {
		return nil, err
	}
	l := p.newLaunch(e, launching, plan)
	defer func() {
		if err != nil {
			l.gatewayImage.settle()
			l.egress.settle()
			err = l.Fail(ctx, err)
		}
	}()
	if l.inspection, l.watched, err = bottle.Equip(&l.plan.Spec, launching.Run.ID(), secrets, p.config.Getenv); err != nil {
		return nil, err
	}
	b, err := l.do(ctx, secrets)
	if err != nil {
		return nil, err
	}
	if b.teardown, err = l.Ready(); err != nil {
		b.unwatch()
		return nil, err
	}
	return b, nil
}

func (p *Platform) newLaunch(e *engine, launching *bottle.Launching, plan bottle.Plan) *launch {
	return &launch{
		Launching: launching, platform: p, engine: e, plan: plan, nonce: rand.Text(), handover: rand.Text(),
		word: strings.ToLower(rand.Text()),
		parts: parts{
			Names: namesOf(plan.Name), Addresses: addressesOf(plan.Docker), Paths: pathsOf(launching.Run),
		},
	}
}

func pathsOf(run *runs.Run) paths {
	return paths{
		Home: run.Path(bottle.HomeDir), Work: run.Path(bottle.WorkDir), Git: run.Path(bottle.GitDir),
		Record: run.Path(bottle.RecordDir), Etc: run.Path(bottle.EtcDir), Nonce: run.Path(bottle.NonceFile),
		Handover: run.Path(bottle.HandoverDir),
	}
}

func (l *launch) do(ctx context.Context, secrets environ.Secrets) (*instance, error) {
	if err := l.Run.Record(l.resources()...); err != nil {
		return nil, err
	}
	l.Undo.Add("containers and networks", l.remove)
	if err := l.prepare(ctx); err != nil {
		return nil, err
	}
	release, err := l.platform.config.Store.Turn(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	b, err := l.assemble(ctx, secrets)
	if err != nil && b != nil {
		b.unwatch()
	}
	return b, err
}

// remove takes away what the run has in the engine: by id what was made, which
// is fastest; after a failure by label, since a call that failed may have
// worked all the same.
func (l *launch) remove(ctx context.Context) error {
	made := l.made
	l.closeStreams()
	var err error
	if made.whole {
		err = l.engine.removeMade(ctx, l.plan.Docker.Owner, l.Run.ID(), made)
	} else {
		err = l.engine.removeRun(ctx, l.plan.Docker.Owner, l.Run.ID())
	}
	if err != nil {
		return err
	}
	if l.Late = l.engine.lost.Load(); l.Late {
		return nil
	}
	return l.Run.Forget(l.Run.Resources()...)
}

func (l *launch) closeStreams() {
	for _, s := range []*stream{l.made.agent, l.made.gateway} {
		if s != nil {
			_ = s.Close()
		}
	}
}
