//go:build linux

package native

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
)

// hierarchy is where this process can make control groups, and for which
// controllers.
type hierarchy struct {
	Version     int
	Parent      string   // the directory to make them in
	Controllers []string // that a group there can have
	Enable      []string // those of them that have to be switched on for it first
	// Bus is where systemd is asked to make the group, whose own the directory
	// is; empty when it is made by us.
	Bus string
	// Closed says why none can be made; then Parent is where one would be.
	Closed string
}

// groupsFor are the control groups that a spec's limits need, and the bus on
// which systemd is asked for one that holds some of them. A limit that no
// hierarchy takes is refused by name, but for that of processes, which a limit
// of the user namespace holds as well.
func groupsFor(limits bottle.Limits, hierarchies []hierarchy) (groups []bottle.NativeGroup, bus string, err error) {
	for _, limit := range []struct {
		name, controller string
		asked, must      bool
	}{
		{"memory", "memory", limits.Memory > 0, true},
		{"cpus", "cpu", limits.CPUs > 0, true},
		{"pids", "pids", limits.PIDs > 0, false},
	} {
		if !limit.asked {
			continue
		}
		h, err := hierarchyOf(limit.controller, hierarchies)
		if err != nil {
			if limit.must {
				return nil, "", errLimit(limit.name, err)
			}
			continue
		}
		if h.Bus != "" {
			bus = h.Bus
			continue
		}
		i := slices.IndexFunc(groups, func(g bottle.NativeGroup) bool { return g.Parent == h.Parent })
		if i < 0 {
			i, groups = len(groups), append(groups, bottle.NativeGroup{Parent: h.Parent})
		}
		if slices.Contains(h.Enable, limit.controller) {
			groups[i].Enable = append(groups[i].Enable, limit.controller)
		}
		groups[i].Set = append(groups[i].Set, settings(limit.controller, h.Version, limits)...)
	}
	return groups, bus, nil
}

func hierarchyOf(controller string, hierarchies []hierarchy) (hierarchy, error) {
	why := fmt.Errorf("this kernel has no controller %q", controller)
	for _, h := range hierarchies {
		if !slices.Contains(h.Controllers, controller) {
			if h.Version == 2 && h.Closed != "" { // it has what the groups above give it, not what the kernel has
				why = errClosed(h)
			}
			continue
		}
		if h.Closed == "" {
			return h, nil
		}
		why = errClosed(h)
	}
	return hierarchy{}, why
}

func errClosed(h hierarchy) error {
	return fmt.Errorf("no control group can be made in %s: %s", h.Parent, h.Closed)
}

func errLimit(name string, cause error) error {
	return hint.With(fmt.Errorf("limits %s: it cannot be enforced: %w", name, cause),
		"take the limit out, or use --platform docker; `claude-bottle doctor` says which limits you can set")
}

// cpuPeriod is over how long processor time is counted, in microseconds: the
// kernel's default.
const cpuPeriod = 100_000

// settings are a controller's files (the kernel's cgroup-v1 and cgroup-v2
// documents). Memory that is swapped out counts as memory.
func settings(controller string, version int, limits bottle.Limits) []bottle.GroupSetting {
	memory := strconv.FormatInt(limits.Memory, 10)
	period, quota := strconv.Itoa(cpuPeriod), strconv.Itoa(int(math.Ceil(limits.CPUs*cpuPeriod)))
	switch {
	case controller == "pids":
		return []bottle.GroupSetting{{File: "pids.max", Value: strconv.FormatInt(limits.PIDs, 10)}}
	case controller == "memory" && version == 1:
		return []bottle.GroupSetting{
			{File: "memory.limit_in_bytes", Value: memory},
			{File: "memory.memsw.limit_in_bytes", Value: memory, Optional: true},
		}
	case controller == "memory":
		return []bottle.GroupSetting{{File: "memory.max", Value: memory}, {File: "memory.swap.max", Value: "0", Optional: true}}
	case version == 1:
		return []bottle.GroupSetting{{File: "cpu.cfs_period_us", Value: period}, {File: "cpu.cfs_quota_us", Value: quota}}
	}
	return []bottle.GroupSetting{{File: "cpu.max", Value: quota + " " + period}}
}
