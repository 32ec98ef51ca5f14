//go:build linux

package native

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"claude-bottle/internal/bottle"
)

// TestGroupsFor is what limits need on machines of each kind.
func TestGroupsFor(t *testing.T) {
	first := []hierarchy{
		{Version: 1, Parent: "/m", Controllers: []string{"memory"}},
		{Version: 1, Parent: "/c", Controllers: []string{"cpu"}},
		{Version: 2, Parent: "/u"},
	}
	second := []hierarchy{{Version: 2, Parent: "/u", Controllers: []string{"memory", "cpu", "pids"}, Enable: []string{"cpu"}}}
	closed := []hierarchy{{Version: 2, Parent: "/u", Controllers: []string{"memory", "cpu", "pids"}, Closed: "permission denied"}}
	systemd := []hierarchy{{Version: 2, Parent: "/s", Bus: "unix:path=/b", Controllers: []string{"memory", "cpu", "pids"}}}
	all := bottle.Limits{Memory: 1 << 20, CPUs: 1.5, PIDs: 9}
	for name, test := range map[string]struct {
		limits  bottle.Limits
		seen    []hierarchy
		want    []bottle.NativeGroup
		refused string
		bus     string
	}{
		"none": {bottle.Limits{Disk: 5}, first, nil, "", ""},
		"version 1": {all, first, []bottle.NativeGroup{
			{Parent: "/m", Set: []bottle.GroupSetting{
				{File: "memory.limit_in_bytes", Value: "1048576"},
				{File: "memory.memsw.limit_in_bytes", Value: "1048576", Optional: true},
			}},
			{Parent: "/c", Set: []bottle.GroupSetting{{File: "cpu.cfs_period_us", Value: "100000"}, {File: "cpu.cfs_quota_us", Value: "150000"}}},
		}, "", ""},
		"version 2": {all, second, []bottle.NativeGroup{
			{Parent: "/u", Enable: []string{"cpu"}, Set: []bottle.GroupSetting{
				{File: "memory.max", Value: "1048576"},
				{File: "memory.swap.max", Value: "0", Optional: true},
				{File: "cpu.max", Value: "150000 100000"},
				{File: "pids.max", Value: "9"},
			}},
		}, "", ""},
		"pids by the namespace": {bottle.Limits{PIDs: 9}, closed, nil, "", ""},
		"systemd":               {all, append(systemd, first...), nil, "", "unix:path=/b"},
		"no right":              {all, closed, nil, "limits memory: it cannot be enforced: no control group can be made in /u: permission denied", ""},
		"no controller":         {bottle.Limits{CPUs: 1}, first[:1], nil, `limits cpus: it cannot be enforced: this kernel has no controller "cpu"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, bus, err := groupsFor(test.limits, test.seen)
			if test.refused != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.refused) {
					t.Fatalf("%v, want %s", err, test.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if bus != test.bus {
				t.Errorf("bus %q, want %q", bus, test.bus)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestMountedAt finds groups in what kernels say of their mounts.
func TestMountedAt(t *testing.T) {
	mounts := "30 24 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"31 30 0:27 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory\n" +
		"32 30 0:28 /docker/ab /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n" +
		"33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
	for _, test := range []struct{ kind, controller, group, want string }{
		{"cgroup", "memory", "/a/b", "/sys/fs/cgroup/memory/a/b"},
		{"cgroup", "memory", "/", "/sys/fs/cgroup/memory"},
		{"cgroup", "cpu", "/docker/ab/c", "/sys/fs/cgroup/cpu/c"},
		{"cgroup", "cpu", "/docker/ab", "/sys/fs/cgroup/cpu"},
		{"cgroup", "cpu", "/docker/abc", "/sys/fs/cgroup/cpu"},
		{"cgroup", "cpu", "/../..", "/sys/fs/cgroup/cpu"},
		{"cgroup", "pids", "/", ""},
		{"cgroup2", "", "/user.slice", "/sys/fs/cgroup/unified/user.slice"},
	} {
		if _, own := mountedAt(mounts, test.kind, test.controller, test.group); own != test.want {
			t.Errorf("%s of %s: %q, want %q", test.group, test.controller, own, test.want)
		}
	}
}

// TestScopeOfAnotherOwner has the plan say where what runs inside could write
// its own limits: in a scope of an ordinary user's manager, with nested.
func TestScopeOfAnotherOwner(t *testing.T) {
	systemd := []hierarchy{{Version: 2, Parent: "/s", Bus: "unix:path=/b", Controllers: []string{"memory"}}}
	for _, test := range []struct {
		uid    int
		nested bool
		want   bool
	}{{1000, true, true}, {1000, false, false}, {0, true, false}} {
		spec := bottle.Spec{Slug: "test", Home: bottle.DefaultHome, UID: 1000, Nested: test.nested, Limits: bottle.Limits{Memory: 1 << 30}}
		made, err := plan(spec, observed{UID: test.uid, Bubblewrap: "/usr/bin/bwrap", Hierarchies: systemd})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(made.Warnings, "\n"), "may lift them"); got != test.want {
			t.Errorf("uid %d, nested %v: warnings %q", test.uid, test.nested, made.Warnings)
		}
	}
}
