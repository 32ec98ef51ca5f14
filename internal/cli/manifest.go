package cli

import (
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
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
func (a *App) policyOf(agent string) (*policy.Policy, policy.Egress, error) {
	m, err := a.manifest()
	if err != nil {
		return nil, policy.Egress{}, err
	}
	spec, err := a.specOf(m, agent)
	if err != nil {
		return nil, policy.Egress{}, err
	}
	compiled, err := policy.Compile(spec.Egress)
	return compiled, spec.Egress, withCode(exitUsage, err)
}

// specOf resolves an agent to be looked at.
func (a *App) specOf(m *manifest.Manifest, agent string) (bottle.Spec, error) {
	home, err := a.home()
	if err != nil {
		return bottle.Spec{}, err
	}
	host := bottle.Host{Home: home}
	host.UID, host.GID = bottle.Person(a.UID, a.GID, a.Lookup)
	spec, err := bottle.Resolve(bottle.Input{
		Manifest: m, Agent: agent, Host: host,
		Lookup: func(name string) (string, bool) { return a.Getenv(name), true },
	})
	return spec, withCode(exitUsage, err)
}
