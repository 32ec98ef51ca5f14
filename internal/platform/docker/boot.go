package docker

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/shares"
	"claude-bottle/internal/wire"
)

// recordPath is the record inside the gateway's container.
const recordPath = "/record/egress.jsonl"

func (l *launch) startGateway(ctx context.Context, b *instance, secrets environ.Secrets) error {
	err := l.engine.startContainer(ctx, "gateway-start", l.made.Gateway, l.parts.Names.Gateway)
	if err != nil {
		// Engines look for the network once more when the container starts,
		// some by its name and some by its id.
		text := err.Error()
		if strings.Contains(text, "not found") &&
			(strings.Contains(text, l.plan.Docker.EgressNetwork) || strings.Contains(text, l.parts.EgressID)) {
			return fmt.Errorf("%w: %w", errEgressGone, err)
		}
		return err
	}
	own, err := hostAddresses()
	if err != nil {
		return err
	}
	defer failpoint.Span("docker.gateway-boot")()
	b.gateway = wire.NewGatewayClient(l.made.gateway)
	b.gateway.Turn = secrets.Turn
	b.gateway.Renewed = func(r wire.Renewed) { secrets.Renewed(r.Name, r.Login) }
	boot := wire.GatewayBoot{
		Run: string(l.Run.ID()), Policy: l.plan.Spec.Egress,
		Address: l.parts.Addresses.Gateway, Ports: l.plan.Docker.Ports,
		HostAddresses: own, Record: recordPath, Attached: true, Word: l.word,
		Control: wire.GatewayControl, ControlUID: b.dialUID,
		CA: l.inspection.CA, SystemRoots: l.inspection.SystemRoots,
		Secrets: secrets.Brokered(), Watch: l.watched,
		Handover: l.handoverAt(gatewayHandover),
	}
	if l.plan.Docker.Pipelock != nil {
		boot.Control, boot.Hosted = "", l.hosted()
	}
	return b.gateway.Boot(ctx, boot)
}

// hosted is the program that is the gateway in place of ours.
func (l *launch) hosted() *wire.Hosted {
	return &wire.Hosted{
		Name: "pipelock", Argv: pipelockArgv(l.plan.Docker, l.parts.Addresses.Gateway),
		Health: pipelockHealth, Log: pipelockLog,
	}
}

func (l *launch) startAgent(ctx context.Context, b *instance, secrets environ.Secrets) error {
	err := l.engine.startContainer(ctx, "agent-start", l.made.Agent, l.parts.Names.Agent)
	if err != nil {
		return err
	}
	defer failpoint.Span("docker.guest-boot")()
	b.guest = wire.NewGuestClient(l.made.agent)
	b.boot = platform.NewBootStream(b.guest)
	var own shares.Shares
	if slices.Contains(sharesKernel, l.plan.Docker.Runtime) { // another kernel counts for itself
		if own, err = shares.Own(); err != nil {
			return err
		}
	}
	return b.guest.Boot(ctx, wire.GuestBoot{
		Run: string(l.Run.ID()), Env: l.bottleEnv(secrets), Secrets: secrets.Env(),
		DialUID: b.dialUID, Attached: true, Nonce: l.nonce, NoncePath: insideNonce, Probe: true,
		Handover: l.handoverAt(insideHandover), Shares: own,
	})
}

// handoverAt tells one of the two where the other is, in the directory that
// both see at a place of their own; nil for a bottle with a network.
func (l *launch) handoverAt(dir string) *wire.Handover {
	if !l.plan.Docker.Alone {
		return nil
	}
	return &wire.Handover{
		Path: dir + "/ways", Nonce: l.handover, Address: l.parts.Addresses.Gateway, Ports: l.plan.Docker.Ports,
	}
}

// bottleEnv is the environment of every process inside, over the image's.
func (l *launch) bottleEnv(secrets environ.Secrets) []string {
	proxy := netip.AddrPortFrom(l.parts.Addresses.Gateway, uint16(l.plan.Docker.Ports.Proxy)) //nolint:gosec // G115: a port
	return platform.Environment(l.plan.Spec, l.env, secrets.Placeholders(), proxy)
}

// withLastOutput adds what gateway and guest last said to an error.
func withLastOutput(err error, made made) error {
	for _, part := range []struct {
		name   string
		stream *stream
	}{{"gateway", made.gateway}, {"guest", made.agent}} {
		if part.stream == nil {
			continue
		}
		if last := part.stream.last(); last != "" {
			err = fmt.Errorf("%w\nthe %s's last output:\n  %s", err, part.name, strings.ReplaceAll(last, "\n", "\n  "))
		}
	}
	return err
}
