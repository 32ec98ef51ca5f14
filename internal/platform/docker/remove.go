package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
)

// Kinds of resources in a ledger.
const (
	kindContainer = runs.Kind("docker-container")
	kindNetwork   = runs.Kind("docker-network")
)

// resources are a run's, as its ledger names them. The ledger says that there
// may be something and in which engine; which objects are the run's, say
// their labels, since a name may have become somebody else's.
func (l *launch) resources() []runs.Resource {
	list := []runs.Resource{
		{Kind: kindContainer, Name: l.parts.Names.Agent},
		{Kind: kindContainer, Name: l.parts.Names.Gateway},
		{Kind: kindNetwork, Name: l.plan.Docker.EgressNetwork},
	}
	if !l.plan.Docker.Alone {
		list = append(list, runs.Resource{Kind: kindNetwork, Name: l.parts.Names.Network})
	}
	return list
}

// containers are those that carry all of the labels, stopped ones included.
func (e *engine) containers(ctx context.Context, labels map[string]string) ([]container.Summary, error) {
	result, err := ask(ctx, "container-list", callLimit, func(ctx context.Context) (client.ContainerListResult, error) {
		return e.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: labelFilters(labels)})
	})
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	return result.Items, nil
}

// removeRun removes all that a run has in the engine, by label, and the
// owner's egress network with the last run. It goes on past errors.
func (e *engine) removeRun(ctx context.Context, owner string, run runs.ID) error {
	containers, err := e.containers(ctx, runLabels(owner, run))
	if err != nil {
		return err
	}
	var removing errgroup.Group
	for _, container := range containers {
		removing.Go(func() error { return e.removeContainer(ctx, container.ID) })
	}
	failed := removing.Wait()
	networks, err := e.networks(ctx, runLabels(owner, run))
	for _, network := range networks {
		failed = errors.Join(failed, e.removeInternal(ctx, network.ID))
	}
	if failed = errors.Join(failed, err); failed != nil {
		run = "" // its gateway may stay, and is not waited for
	}
	return errors.Join(failed, e.removeEgress(ctx, owner, run))
}

// removeMade removes by id what one launch made. No network waits for the
// container that is not on it: an engine removes one network after the other.
func (e *engine) removeMade(ctx context.Context, owner string, run runs.ID, made made) error {
	gatewayGone := make(chan struct{})
	var onEgress, onInternal error
	var removing sync.WaitGroup
	removing.Go(func() {
		onEgress = e.removeContainer(ctx, made.Gateway)
		close(gatewayGone)
		if onEgress != nil {
			run = "" // its gateway stays, and is not waited for
		}
		onEgress = errors.Join(onEgress, e.removeEgress(ctx, owner, run))
	})
	removing.Go(func() {
		onInternal = e.removeContainer(ctx, made.Agent)
		if made.Network == "" {
			return
		}
		<-gatewayGone
		onInternal = errors.Join(onInternal, e.removeInternal(ctx, made.Network))
	})
	removing.Wait()
	return errors.Join(onEgress, onInternal)
}

// Remove removes what a run left in the engine that its ledger names, or, when
// the ledger is lost, in the one that the environment names. It is
// bottle.ErrElsewhere when another engine answers now.
func (p *Platform) Remove(ctx context.Context, run runs.ID) error {
	e, at, err := p.engineOf(ctx, run)
	if err == nil {
		err = e.is(ctx, at)
	}
	if err != nil {
		return err
	}
	return e.removeRun(ctx, p.owner, run)
}

// engineOf connects to the engine that a run is on, and says which that was.
func (p *Platform) engineOf(ctx context.Context, run runs.ID) (*engine, runs.Place, error) {
	info, _, err := p.config.Store.Load(run)
	if err != nil && !errors.Is(err, runs.ErrNotFound) && !errors.Is(err, runs.ErrDamaged) {
		return nil, runs.Place{}, err
	}
	e, err := p.engineAt(ctx, info.Endpoint)
	return e, info.Place, err
}

// is says whether this is the engine of a place: another may answer at the same
// address, which has nothing of the run, while the first has all of it still.
func (e *engine) is(ctx context.Context, at runs.Place) error {
	if at.Engine == "" {
		return nil
	}
	info, err := e.info(ctx)
	if err != nil {
		return err
	}
	if now := identity(info); now != at.Engine {
		return hint.With(
			fmt.Errorf("%w: %s is now %q, and was %q", bottle.ErrElsewhere, at.Endpoint, now, at.Engine),
			"start that engine again, and the next command removes what is left there; if it is gone for good, claude-bottle cleanup forgets it")
	}
	return nil
}

// List finds the owner's bottles by their labels.
func (p *Platform) List(ctx context.Context) ([]bottle.Status, error) {
	e, err := p.engine(ctx)
	if err != nil {
		return nil, err
	}
	owner := map[string]string{labelOwner: p.owner}
	containers, err := e.containers(ctx, owner)
	if err != nil {
		return nil, err
	}
	networks, err := e.networks(ctx, owner)
	if err != nil {
		return nil, err
	}
	found := newStatuses()
	for _, container := range containers {
		name := ""
		if len(container.Names) > 0 {
			name = strings.TrimPrefix(container.Names[0], "/")
		}
		running := container.Labels[labelRole] == roleAgent && container.State == "running"
		found.add(container.Labels, name, time.Unix(container.Created, 0), running)
	}
	for _, network := range networks {
		found.add(network.Labels, network.Name, network.Created, false)
	}
	return found.list, nil
}

// statuses gathers a run's parts into one Status.
type statuses struct {
	list  []bottle.Status
	place map[runs.ID]int
}

func newStatuses() *statuses { return &statuses{place: map[runs.ID]int{}} }

func (s *statuses) add(labels map[string]string, name string, created time.Time, running bool) {
	run := runs.ID(labels[labelRun])
	if run == "" {
		return // the owner's egress network
	}
	name = strings.TrimSuffix(strings.TrimSuffix(name, ".gateway"), ".network")
	i, known := s.place[run]
	if !known {
		s.place[run] = len(s.list)
		s.list = append(s.list, bottle.Status{
			Run: run, Name: name, Agent: labels[labelAgent], Started: created.UTC(), Running: running,
		})
		return
	}
	status := &s.list[i]
	status.Running = status.Running || running
	if created.Before(status.Started) {
		status.Started = created.UTC()
	}
}

// Open returns a bottle that another process, or none, holds the streams of.
func (p *Platform) Open(ctx context.Context, run runs.ID) (bottle.Bottle, error) {
	e, at, err := p.engineOf(ctx, run)
	if err != nil {
		return nil, err
	}
	containers, err := e.containers(ctx, runLabels(p.owner, run))
	if err != nil {
		return nil, err
	}
	b := newInstance(p, e, run)
	parts := map[string]string{}
	for _, container := range containers {
		if container.State != "running" {
			continue
		}
		switch container.Labels[labelRole] {
		case roleAgent:
			parts["guest"], b.agentID = container.ID, container.ID
			b.name = strings.TrimPrefix(container.Names[0], "/")
		case roleGateway:
			parts["gateway"], b.gatewayID = container.ID, container.ID
			b.pipelock = container.Labels[labelPipelock] != ""
		}
	}
	if b.agentID == "" {
		if err := e.is(ctx, at); err != nil {
			return nil, fmt.Errorf("open run %s: %w", run, err)
		}
		return nil, fmt.Errorf("open run %s: no bottle of it is running", run)
	}
	uid, err := e.agentUID(ctx, b.agentID)
	if err != nil {
		return nil, err
	}
	b.dialUID = dialUID(uid)
	b.watchOpened(parts)
	return b, nil
}

// agentUID reads the agent's uid from its container.
func (e *engine) agentUID(ctx context.Context, id string) (int, error) {
	result, err := ask(ctx, "container-inspect", callLimit, func(ctx context.Context) (client.ContainerInspectResult, error) {
		return e.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	})
	if err != nil {
		return 0, fmt.Errorf("inspect container %s: %w", id, err)
	}
	user, _, _ := strings.Cut(result.Container.Config.User, ":")
	uid, err := strconv.Atoi(user)
	if err != nil {
		return 0, fmt.Errorf("inspect container %s: its user %q is no number", id, user)
	}
	return uid, nil
}
