package cli

import (
	"context"
	"fmt"
	"slices"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/preset"
)

// manifest reads the working directory's and home's manifest, merged.
func (a *App) manifest() (*manifest.Manifest, error) {
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	dir, err := a.Dir()
	if err != nil {
		return nil, err
	}
	m, err := manifest.Load(dir, home)
	return m, withCode(exitUsage, err)
}

// policyOf is what decides for an agent's bottle: compiled, and as the gateway
// reads it. Nothing is launched, so a variable that is not set does not
// matter.
func (a *App) policyOf(ctx context.Context, agent string) (*policy.Policy, policy.Egress, error) {
	m, err := a.manifest()
	if err != nil {
		return nil, policy.Egress{}, err
	}
	spec, err := a.specOf(ctx, m, agent, a.imagedFor(ctx, m, agent))
	if err != nil {
		return nil, policy.Egress{}, err
	}
	compiled, err := policy.Compile(spec.Egress)
	return compiled, spec.Egress, withCode(exitUsage, err)
}

// specOf resolves an agent to be looked at. on is the platform that may have an
// image for its presets, or nil.
func (a *App) specOf(ctx context.Context, m *manifest.Manifest, agent string, on bottle.Platform) (bottle.Spec, error) {
	home, err := a.home()
	if err != nil {
		return bottle.Spec{}, err
	}
	host := bottle.Host{Home: home}
	host.UID, host.GID = bottle.Person(a.UID, a.GID, a.Lookup)
	presets, unread, err := a.presets(ctx, m, agent, on)
	if err != nil {
		return bottle.Spec{}, withCode(exitUsage, err)
	}
	root, err := a.stateRoot()
	if err != nil {
		return bottle.Spec{}, err
	}
	spec, err := bottle.Resolve(bottle.Input{
		Manifest: m, Agent: agent, Host: host, Presets: presets, Unread: unread, Login: a.keptLogin(root),
		Lookup: a.Lookup, Look: true,
	})
	return spec, withCode(exitUsage, err)
}

// imagedFor is the platform that an agent would be launched on, where the image
// that its bottle comes from can say the hosts of presets; else nil.
func (a *App) imagedFor(ctx context.Context, m *manifest.Manifest, agent string) bottle.Platform {
	_, from, err := m.Agent(agent)
	if err != nil || !slices.ContainsFunc(from.Egress.Presets, preset.OfImage) {
		return nil
	}
	h, err := a.host("")
	if err == nil {
		err = h.settle(ctx, a.Preferred)
	}
	if err != nil {
		a.note("warning: no platform is ready, so that the hosts of presets are those of this machine's clients: %s", oneLine(err))
		return nil
	}
	return h.platform
}

// presets looks up the presets that an agent's bottle names, on a platform that
// may have an image, or nil. Where it names none, no client is asked; an agent
// that there is not has none. unread says why an image was not looked into.
func (a *App) presets(
	ctx context.Context, m *manifest.Manifest, agent string, on bottle.Platform,
) (table preset.Table, unread string, err error) {
	_, from, err := m.Agent(agent)
	if err != nil || len(from.Egress.Presets) == 0 {
		return nil, "", nil
	}
	home, err := a.home()
	if err != nil {
		return nil, "", err
	}
	clients := preset.Clients{Home: home, Lookup: a.Lookup}
	if p, ok := on.(imaged); ok && slices.ContainsFunc(from.Egress.Presets, preset.OfImage) {
		clients.Image, err = p.Image(ctx, from.Egress.Roots)
		switch {
		case err != nil:
			unread = oneLine(err)
		case clients.Image.ID == "":
			unread = "it is not there yet"
		}
	}
	if table, err = clients.Find(ctx, from.Egress.Presets); err != nil {
		return nil, "", fmt.Errorf("bottle %s: egress: %w", from.Name, err)
	}
	return table, unread, nil
}

// imaged is a platform whose bottles come from an image, which can say what the
// package clients in it are configured for. The image of a launch depends on the
// roots that it is built with.
type imaged interface {
	Image(ctx context.Context, roots string) (preset.Image, error)
}

// rememberedImage is the image of a running bottle, as far as it was looked into
// when the bottle was planned.
func (a *App) rememberedImage(ctx context.Context, c controlled) preset.Image {
	p, ok := c.platform.(imaged)
	m, err := a.manifest()
	if !ok || err != nil {
		return preset.Image{}
	}
	_, from, _ := m.Agent(c.info.Agent)
	image, err := p.Image(ctx, from.Egress.Roots)
	if err != nil {
		return preset.Image{}
	}
	return image.Remembered()
}
