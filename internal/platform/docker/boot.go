package docker

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/wire"
)

// recordPath is the record inside the gateway's container.
const recordPath = "/record/egress.jsonl"

func (l *launch) startGateway(ctx context.Context, b *instance) error {
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
	return b.gateway.Boot(ctx, wire.GatewayBoot{
		Run: string(l.Run.ID()), Policy: l.plan.Spec.Egress,
		Address: l.parts.Addresses.Gateway, Ports: l.plan.Docker.Ports,
		HostAddresses: own, Record: recordPath, Attached: true, Word: l.word,
	})
}

func (l *launch) startAgent(ctx context.Context, b *instance, secrets environ.Secrets) error {
	err := l.engine.startContainer(ctx, "agent-start", l.made.Agent, l.parts.Names.Agent)
	if err != nil {
		return err
	}
	defer failpoint.Span("docker.guest-boot")()
	b.guest = wire.NewGuestClient(l.made.agent)
	return b.guest.Boot(ctx, wire.GuestBoot{
		Run: string(l.Run.ID()), Env: l.bottleEnv(), Secrets: secrets.Env(),
		DialUID: b.dialUID, Attached: true, Nonce: l.nonce, NoncePath: insideNonce, Probe: true,
	})
}

// bottleEnv is the environment of every process inside, NAME=value: the
// image's, then what the platform adds, then the manifest's literals; of a
// name that occurs twice the later counts.
func (l *launch) bottleEnv() []string {
	spec := l.plan.Spec
	proxy := (&url.URL{
		Scheme: "http", Host: l.parts.Addresses.Gateway.String() + ":" + strconv.Itoa(l.plan.Docker.Ports.Proxy),
	}).String()
	env := append([]string{}, l.env...)
	env = append(env, "HOME="+spec.Home)
	for name, value := range map[string]string{
		"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": "localhost,127.0.0.1",
	} {
		env = append(env, name+"="+value, strings.ToLower(name)+"="+value)
	}
	for _, entry := range spec.Env {
		if entry.Kind == environ.Literal {
			env = append(env, entry.Name+"="+entry.Value)
		}
	}
	return lastOfEach(env)
}

// lastOfEach keeps, of entries with one name, the last.
func lastOfEach(env []string) []string {
	place := map[string]int{}
	var kept []string
	for _, entry := range env {
		name, _, _ := strings.Cut(entry, "=")
		if i, ok := place[name]; ok {
			kept[i] = entry
			continue
		}
		place[name] = len(kept)
		kept = append(kept, entry)
	}
	return kept
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
