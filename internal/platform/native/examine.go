//go:build linux

package native

import (
	"context"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/doctor"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
)

// ExamineNative looks at what native bottles need of this machine.
func (p *Platform) ExamineNative(ctx context.Context) doctor.Native {
	seen := doctor.Native{Bubblewrap: lookPath(bubblewrap, p.config.Getenv("PATH"))}
	if err := p.Ready(ctx); err != nil {
		seen.Problem, seen.Hint = err.Error(), hint.Of(err)
	}
	if value, err := readSetting(apparmorRestricted); err == nil && value == "1" {
		file, text, err := apparmorProfile(p.config.Store.Root(), p.config.UID)
		if err == nil {
			seen.ProfileFile, seen.Profile = file, text
			seen.ProfileThere = profileThere(file, text) == nil
		}
	}
	places := hierarchies(p.config.UID, p.config.Getenv)
	for _, limit := range []struct {
		name   string
		limits bottle.Limits
	}{{"memory", bottle.Limits{Memory: 1}}, {"cpus", bottle.Limits{CPUs: 1}}} {
		if _, _, err := groupsFor(limit.limits, places); err != nil {
			seen.Lacks = append(seen.Lacks, err.Error())
			continue
		}
		seen.Limits = append(seen.Limits, limit.name)
	}
	for _, name := range harness.Names() {
		row, _ := harness.Named(name)
		seen.Agents = append(seen.Agents, p.examineAgent(row))
	}
	return seen
}

// examineAgent says where an agent's program would come from.
func (p *Platform) examineAgent(row harness.Harness) doctor.NativeAgent {
	agent := doctor.NativeAgent{Name: row.Name}
	uid, gid := bottle.Person(p.config.UID, p.config.UID, func(name string) (string, bool) {
		value := p.config.Getenv(name)
		return value, value != ""
	})
	var seen observed
	err := p.observeAgent(bottle.Spec{Harness: row.Name, Argv: []string{row.Name}, UID: uid, GID: gid}, &seen)
	switch {
	case err != nil:
		agent.Problem, agent.Hint = err.Error(), hint.Of(err)
	case seen.Install != nil:
		agent.Package = seen.Install.Package
	default:
		agent.Program = seen.Harness.Path
	}
	return agent
}
