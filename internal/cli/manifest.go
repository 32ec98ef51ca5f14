package cli

import (
	"context"
	"fmt"

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
	spec, err := a.specOf(ctx, m, agent, nil)
	if err != nil {
		return nil, policy.Egress{}, err
	}
	compiled, err := policy.Compile(spec.Egress)
	return compiled, spec.Egress, withCode(exitUsage, err)
}

// specOf resolves an agent to be looked at.
func (a *App) specOf(ctx context.Context, m *manifest.Manifest, agent string, on bottle.Platform) (bottle.Spec, error) {
	home, err := a.home()
	if err != nil {
		return bottle.Spec{}, err
	}
	host := bottle.Host{Home: home}
	host.UID, host.GID = bottle.Person(a.UID, a.GID, a.Lookup)
	presets, err := a.presets(ctx, m, agent, on)
	if err != nil {
		return bottle.Spec{}, withCode(exitUsage, err)
	}
	root, err := a.stateRoot()
	if err != nil {
		return bottle.Spec{}, err
	}
	spec, err := bottle.Resolve(bottle.Input{
		Manifest: m, Agent: agent, Host: host, Presets: presets, Login: a.keptLogin(root),
		Lookup: a.Lookup, Look: true,
	})
	return spec, withCode(exitUsage, err)
}

// presets looks up the presets that an agent's bottle names, on a platform that
// may have an image, or nil. Where it names none, no client is asked; an agent
// that there is not has none.
func (a *App) presets(ctx context.Context, m *manifest.Manifest, agent string, on bottle.Platform) (preset.Table, error) {
	_, from, err := m.Agent(agent)
	if err != nil || len(from.Egress.Presets) == 0 {
		return nil, nil
	}
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	clients := preset.Clients{Home: home, Lookup: a.Lookup, Image: imageVariables(ctx, on)}
	table, err := clients.Find(ctx, from.Egress.Presets)
	if err != nil {
		return nil, fmt.Errorf("bottle %s: egress: %w", from.Name, err)
	}
	return table, nil
}

// imaged is a platform whose bottles come from an image, and that knows what
// variables it sets if it is there already.
type imaged interface {
	ImageVariables(ctx context.Context) (map[string]string, error)
}

// imageVariables are those of the image that bottles come from. An engine that
// does not answer says so when the launch is prepared.
func imageVariables(ctx context.Context, on bottle.Platform) map[string]string {
	p, ok := on.(imaged)
	if !ok {
		return nil
	}
	variables, err := p.ImageVariables(ctx)
	if err != nil {
		return nil
	}
	return variables
}
