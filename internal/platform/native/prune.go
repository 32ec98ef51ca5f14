//go:build linux

package native

import (
	"context"

	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
)

// Prune removes what earlier versions of the program left and nothing uses: its
// copies in the state directory, and the agents that were installed for it. It
// returns what it removed, or, with dry, would. As long as a bottle of this
// platform runs its agent stays, and with it all; as long as one of another
// platform runs, which program it has is for that one to know.
func (p *Platform) Prune(_ context.Context, dry bool) ([]string, error) {
	objects, err := p.objects().all()
	if err != nil {
		return nil, err
	}
	infos, err := p.config.Store.List()
	if err != nil {
		return nil, err
	}
	used, native, others := map[string]bool{}, false, false
	for _, o := range objects {
		native = native || o.Inside.alive()
		if o.Supervisor.alive() {
			used[o.Program] = true
		}
	}
	for _, info := range infos {
		going := info.State == runs.Launching || info.State == runs.Running || info.State == runs.Damaged
		native, others = native || going && info.Platform == Name, others || going && info.Platform != Name
	}
	var removed []string
	if !others {
		ours, err := platform.FindProgram(p.config.Binary, p.config.Store.Root())
		if err != nil {
			return nil, err
		}
		used[ours.Hash] = true
		if removed, err = platform.PrunePrograms(p.config.Store.Root(), func(hash string) bool { return used[hash] }, dry); err != nil {
			return removed, err
		}
	}
	if native {
		return removed, nil
	}
	agents, err := p.agents().Prune(p.packages(), dry)
	return append(removed, agents...), err
}
