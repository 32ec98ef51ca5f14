//go:build linux

package native

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
		"not given to us": {
			bottle.Limits{CPUs: 1},
			[]hierarchy{{Version: 2, Parent: "/u", Controllers: []string{"memory", "pids"}, Closed: "permission denied"}},
			nil, "limits cpus: it cannot be enforced: no control group can be made in /u: permission denied", "",
		},
		"no controller": {bottle.Limits{CPUs: 1}, first[:1], nil, `limits cpus: it cannot be enforced: this kernel has no controller "cpu"`, ""},
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

// TestScopeIsDelegated: with nested the bottle is in a group within the scope,
// which systemd must know of; without it systemd keeps the scope to itself.
func TestScopeIsDelegated(t *testing.T) {
	for _, nested := range []bool{false, true} {
		delegated := slices.ContainsFunc(properties(1, "test", bottle.Limits{Memory: 1 << 30}, nested), func(p property) bool {
			return p.Name == "Delegate" && p.Value.Value() == true
		})
		if delegated != nested {
			t.Errorf("nested %v: delegated %v", nested, delegated)
		}
	}
}

// TestScopeIsOutOfReach moves a process into a leaf of the scope that it is in,
// and no process that is in another group.
func TestScopeIsOutOfReach(t *testing.T) {
	root := unifiedRoot(t)
	s := scope{Unit: "claude-bottle-" + strconv.Itoa(os.Getpid()) + ".scope"}
	dir := filepath.Join(root, s.Unit)
	check(t, os.Mkdir(dir, 0o755))
	t.Cleanup(func() { check(t, removeGroup(context.Background(), dir)) })
	cmd := exec.CommandContext(t.Context(), "cat")
	stdin, err := cmd.StdinPipe()
	check(t, err)
	check(t, cmd.Start())
	defer func() { check(t, errors.Join(stdin.Close(), cmd.Wait())) }()
	pid := cmd.Process.Pid
	if err := s.descend(pid); err == nil {
		t.Error("a process of another group was moved")
	}
	check(t, writeSetting(filepath.Join(dir, "cgroup.procs"), itoa(pid)))
	check(t, s.descend(pid))
	group, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "cgroup"))
	check(t, err)
	if !strings.Contains(string(group)+"\n", "/"+s.Unit+"/"+leaf+"\n") {
		t.Errorf("it is in %s", group)
	}
}

// unifiedRoot is where this test may make a group of version 2.
func unifiedRoot(t *testing.T) string {
	t.Helper()
	groups, err := os.ReadFile("/proc/self/cgroup")
	check(t, err)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	check(t, err)
	for line := range strings.Lines(string(groups)) {
		if group, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "0::"); ok {
			if root, own := mountedAt(string(mounts), "cgroup2", "", group); root != "" && closedGroup(own) == "" {
				return own
			}
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("no control group of version 2 can be made here")
	}
	t.Skip("no control group of version 2 can be made here")
	return ""
}
