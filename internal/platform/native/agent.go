//go:build linux

package native

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"claude-bottle/internal/agentcache"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/harness"
)

// claudeVersion is the variable that asks for a version of Claude Code, on
// docker too.
const claudeVersion = "CLAUDE_BOTTLE_CLAUDE_VERSION"

func (p *Platform) agents() agentcache.Cache {
	return agentcache.Cache{Dir: filepath.Join(p.config.Store.Root(), "agents"), Getenv: p.config.Getenv, Environ: p.config.Environ}
}

// packageOf is what a spec's harness is installed from; nil when it is none of
// the table's.
func (p *Platform) packageOf(spec bottle.Spec) *harness.Package {
	row, ok := harness.Named(spec.Harness)
	if !ok || row.Package == nil {
		return nil
	}
	if version := p.config.Getenv(claudeVersion); version != "" && row.Package.Command == "claude" {
		return harness.ClaudePackage(version)
	}
	return row.Package
}

// packages are what launches install, as this program and its environment are.
func (p *Platform) packages() []harness.Package {
	var all []harness.Package
	for _, name := range harness.Names() {
		if row, _ := harness.Named(name); row.Package != nil {
			all = append(all, *row.Package)
		}
		if asked := p.packageOf(bottle.Spec{Harness: name}); asked != nil {
			all = append(all, *asked)
		}
	}
	return all
}

// observeAgent finds the agent's program: the person's own, else the one that
// an earlier launch installed, else what this one has to install. A version that
// was asked for by name is never the person's own, whose version nobody knows.
func (p *Platform) observeAgent(spec bottle.Spec, seen *observed) error {
	from := p.packageOf(spec)
	if from == nil || p.config.Getenv(claudeVersion) == "" {
		seen.Harness = findProgram(spec.Argv[0], p.config.Getenv("PATH"))
		seen.Closed = closedTo(seen.Harness.Path, spec.UID, spec.GID)
	}
	if from == nil || seen.Harness.Path != "" && seen.Closed == "" {
		return nil
	}
	cache := p.agents()
	if path := cache.Find(*from); path != "" {
		seen.Harness, seen.Closed = inPackage(from.Command, path), ""
		return nil
	}
	if err := cache.Check(*from); err != nil {
		return err
	}
	seen.Harness, seen.Closed = program{}, ""
	seen.Install = &bottle.NativeInstall{Package: from.Spec(), Dir: cache.Place(*from)}
	return nil
}

// installAgent does what the plan says of it, before anything else of the
// launch: nothing has to be undone when it fails.
func (p *Platform) installAgent(ctx context.Context, plan *bottle.Plan) error {
	if plan.Native.Install == nil {
		return nil
	}
	from := p.packageOf(plan.Spec)
	if from == nil || from.Spec() != plan.Native.Install.Package {
		return fmt.Errorf("install %s: the plan was made for another environment", plan.Native.Install.Package)
	}
	progress := p.config.Progress
	if progress == nil {
		progress = io.Discard
	}
	_, _ = fmt.Fprintf(progress, "installing %s with npm\n", from.Spec())
	path, err := p.agents().Install(ctx, *from, progress)
	if err != nil {
		return err
	}
	part := *plan.Native
	addHarness(&part, inPackage(from.Command, path), "")
	plan.Native = &part
	return nil
}
