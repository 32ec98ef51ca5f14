//go:build linux

package native

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/shares"
	"claude-bottle/internal/supervise"
	"claude-bottle/internal/wire"
)

// kindBottle is a bottle's name in a ledger: its object says what there is.
const kindBottle = runs.Kind("native-bottle")

// launch is one launch under way.
type launch struct {
	*bottle.Launching
	platform *Platform
	plan     bottle.Plan
	word     string // the launch's own: what the probe's canaries say
	nonce    string
	object   object
	groups   []*os.File // files to join control groups by
	parts    *supervisor
	// inspection holds the run's authority; the plan has only its files.
	inspection bottle.Inspection
	watched    []wire.Watched
}

// Launch does what plan says, all or nothing.
func (p *Platform) Launch(ctx context.Context, plan bottle.Plan, secrets environ.Secrets) (_ bottle.Bottle, err error) {
	if plan.Native == nil {
		return nil, fmt.Errorf("launch %s: the plan is not native's", plan.Name)
	}
	if err := platform.CheckMounts(ctx, plan, p.config.Home, p.config.Store.Root()); err != nil {
		return nil, err
	}
	if err := platform.SameMounts(plan.Native.Agent); err != nil {
		return nil, err
	}
	if err := p.checkToolchains(plan); err != nil {
		return nil, err
	}
	if err := p.installAgent(ctx, &plan); err != nil {
		return nil, err
	}
	launching, err := bottle.Begin(p.config.Store, plan, runs.Place{}, runs.Resource{Kind: kindBottle, Name: plan.Name})
	if err != nil {
		return nil, err
	}
	l := &launch{Launching: launching, platform: p, plan: plan, word: strings.ToLower(rand.Text()), nonce: rand.Text()}
	defer func() {
		if err == nil {
			return
		}
		err = l.Fail(ctx, err)
		if l.parts != nil {
			err = errors.Join(err, l.parts.gone())
		}
	}()
	if l.inspection, l.watched, err = bottle.Equip(&l.plan.Spec, l.Run.ID(), secrets, p.config.Getenv); err != nil {
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

// do starts the supervisor first: while files are staged, its processes start.
func (l *launch) do(ctx context.Context, secrets environ.Secrets) (*instance, error) {
	if err := l.claim(); err != nil {
		return nil, err
	}
	defer func() { closeFiles(l.groups...) }()
	if err := l.makeGroups(); err != nil {
		return nil, err
	}
	l.Undo.Add("bottle "+l.object.Name, l.end) // before its groups can go
	program, err := l.startParts()
	if err != nil {
		return nil, err
	}
	l.object.Program = program.Hash
	if err := l.parts.listen(l.Run.Dir()); err != nil {
		return nil, err
	}
	if l.object.Supervisor, err = l.parts.itself(); err != nil {
		return nil, l.platform.errNamespaces(fmt.Errorf("%w%s", err, l.parts.lastWords()))
	}
	if err := l.platform.objects().update(l.object); err != nil {
		return nil, err
	}
	if err := failpoint.Hit("native.started"); err != nil {
		return nil, err
	}
	if err := bottle.StageFiles(ctx, l.Run, l.plan); err != nil {
		return nil, err
	}
	return l.boot(ctx, program, secrets)
}

// claim wins a name: the proposed one, or the next that is free when another
// launch was faster.
func (l *launch) claim() error {
	spec, objects := l.plan.Spec, l.platform.objects()
	l.object = object{Run: l.Run.ID(), Name: l.plan.Name, Agent: spec.Agent, Started: l.Run.Info().Started}
	for n := 1; n <= platform.LastSuffix; n++ {
		resource := runs.Resource{Kind: kindBottle, Name: l.object.Name}
		if err := l.Run.Record(resource); err != nil {
			return err
		}
		if err := failpoint.Hit("native.claim"); err != nil {
			return err
		}
		err := objects.create(l.object)
		if err == nil {
			l.Undo.Add("name "+l.object.Name, func(context.Context) error { return objects.remove(l.object) })
			if l.object.Name == l.plan.Name {
				return nil
			}
			return l.Run.Update(func(info *runs.Info) { info.Name = l.object.Name })
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if l.plan.Native.Pinned {
			return errPinned(l.object.Name)
		}
		if err := l.Run.Forget(resource); err != nil {
			return err
		}
		l.object.Name = platform.BottleName(spec.Slug, n+1)
	}
	return errNames(spec.Slug)
}

// end ends what runs, and removes its sockets.
func (l *launch) end(ctx context.Context) error {
	var err error
	if l.parts != nil {
		err = l.parts.end(ctx)
	}
	for _, socket := range []string{guestSocket, controlSocket} {
		if removed := os.Remove(l.Run.Path(socket)); removed != nil && !errors.Is(removed, fs.ErrNotExist) {
			err = errors.Join(err, removed)
		}
	}
	return err
}

func (l *launch) stageWork(ctx context.Context) error {
	config := l.platform.config
	report, err := bottle.StageWork(ctx, l.Run, l.plan, config.Copying)
	if err == nil && config.Copied != nil && l.plan.Spec.Cwd != "" {
		config.Copied(report)
	}
	if err != nil {
		return err
	}
	return failpoint.Hit("native.staged")
}

// written are the files of /etc that depend on the person and on the gateway,
// and the nonce that proves to the guest that its bottle is the one of this
// order.
func (l *launch) written() []supervise.Content {
	spec := l.plan.Spec
	etc := func(name, text string) supervise.Content {
		return supervise.Content{Data: text, Target: filepath.Join(bottle.EtcMount, name)}
	}
	return []supervise.Content{
		etc("passwd", platform.Passwd(spec, 0)),
		etc("group", platform.Group(spec, 0)),
		etc("hosts", fmt.Sprintf("127.0.0.1\tlocalhost\n127.0.1.1\t%s\n", spec.Slug)),
		etc("resolv.conf", fmt.Sprintf("nameserver %s\n", l.plan.Native.Address)),
		etc("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
		{Data: l.nonce, Target: insideNonce},
	}
}

// boot starts the rest, hands the gateway its boot frame, copies the work while
// the bottle is made around its directory, and then hands the guest its boot
// frame, and what to try: nothing but our own program runs inside before. Last it
// proves that the bottle is closed.
func (l *launch) boot(ctx context.Context, program platform.Program, secrets environ.Secrets) (*instance, error) {
	part := l.plan.Native
	at := paths{
		Home: l.Run.Path(bottle.HomeDir), Work: l.Run.Path(bottle.WorkDir), Git: l.Run.Path(bottle.GitDir),
		Etc: l.Run.Path(bottle.EtcDir), Program: program.Guest,
	}
	var err error
	if l.object.Inside, err = l.parts.whoIsInside(ctx); err != nil {
		return nil, l.platform.errNamespaces(fmt.Errorf("%w%s", err, l.parts.lastWords()))
	}
	if err := l.platform.objects().update(l.object); err != nil {
		return nil, err
	}
	if err := l.enterScope(ctx); err != nil {
		return nil, err
	}
	args, contents := arguments(l.plan, at, l.written())
	made := supervise.Order{
		Word: l.word, Ports: part.Ports, Bubblewrap: part.Bubblewrap, Args: args, Contents: contents, PIDs: part.PIDs, Nested: l.plan.Spec.Nested,
	}
	if open := l.platform.breach.order; open != nil {
		open(&made, l.object.Inside.PID)
	}
	if err := l.parts.give(made, l.groups); err != nil {
		return nil, err
	}
	b := l.instance()
	var host *canary
	var inside, gateway wire.Probed
	group, together := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		gateway, err = l.bootGateway(together, b, secrets)
		return err
	})
	group.Go(func() (err error) {
		if host, err = l.openCanary(together); err != nil {
			return err
		}
		if err := l.stageWork(together); err != nil {
			return err
		}
		inside, err = l.bootGuest(together, b, secrets, host.request)
		return err
	})
	err = group.Wait()
	defer host.close()
	if err == nil {
		err = l.prove(ctx, b, host, inside, gateway)
	}
	if err != nil {
		return nil, fmt.Errorf("%w%s", err, l.parts.lastWords())
	}
	b.watch(l.plan.Spec.Limits.Disk, at)
	return b, nil
}

// bootGateway returns what the gateway found of itself.
func (l *launch) bootGateway(ctx context.Context, b *instance, secrets environ.Secrets) (wire.Probed, error) {
	defer failpoint.Span("native.gateway-boot")()
	part := l.plan.Native
	b.gateway.Turn = secrets.Turn
	b.gateway.Renewed = func(r wire.Renewed) { secrets.Renewed(r.Name, r.Login) }
	err := b.gateway.Boot(ctx, wire.GatewayBoot{
		Run: string(l.Run.ID()), Policy: l.plan.Spec.Egress, Address: part.Address, Ports: part.Ports,
		Record: l.Run.Path(bottle.RecordDir, recordFile), Attached: true, Word: l.word,
		ControlUID: os.Getuid(), OnHost: true,
		CA: l.inspection.CA, SystemRoots: l.inspection.SystemRoots, Secrets: secrets.Brokered(),
		Watch: l.watched,
	})
	if err != nil {
		return wire.Probed{}, err
	}
	return b.gateway.Probe(ctx, wire.GatewayProbe{
		Deadline: probe.Deadline, UID: l.plan.Spec.UID, Kernel: gatewayKernel(), Skip: gatewayUnprobed,
		Files: l.personsFiles(),
	})
}

// recordFile is the record, in its directory.
const recordFile = "egress.jsonl"

// bootGuest returns what was found inside.
func (l *launch) bootGuest(ctx context.Context, b *instance, secrets environ.Secrets, request wire.Probe) (wire.Probed, error) {
	defer failpoint.Span("native.guest-boot")()
	part := l.plan.Native
	proxy := netip.AddrPortFrom(part.Address, uint16(part.Ports.Proxy)) //nolint:gosec // G115: a port
	base := append([]string{"PATH=" + part.Path}, part.Env...)
	own, err := shares.Own()
	if err != nil {
		return wire.Probed{}, err
	}
	return b.guest.BootProbed(ctx, wire.GuestBoot{
		Run: string(l.Run.ID()), Env: platform.Environment(l.plan.Spec, base, secrets.Placeholders(), proxy), Secrets: secrets.Env(),
		DialUID: -1, Listener: true, Attached: true, Nonce: l.nonce, NoncePath: insideNonce, Probe: true,
		Shares: own,
	}, request)
}
