//go:build linux

package native

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
)

// needGroups skips the test where this process can make no control group; where
// the environment promises it, that is a failure.
func needGroups(t *testing.T, limits bottle.Limits) {
	t.Helper()
	_, _, err := groupsFor(limits, hierarchies(os.Getuid(), os.Getenv))
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// TestMemoryLimit sees a program killed that takes more than its bottle may,
// and the bottle go on.
func TestMemoryLimit(t *testing.T) {
	limits := bottle.Limits{Memory: 96 << 20}
	needGroups(t, limits)
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Limits = limits })
	out := sh(t, b, "head -c 400000000 /dev/zero | tail >/dev/null; echo code $?")
	if !strings.Contains(out, "code 137") {
		t.Errorf("400 MB in a bottle of 96 MiB: %q", out)
	}
	out = sh(t, b, "head -c 400000000 /dev/zero >/tmp/big; echo code $?; rm -f /tmp/big")
	if strings.Contains(out, "code 0") {
		t.Errorf("400 MB of /tmp in a bottle of 96 MiB: %q", out)
	}
	if out := sh(t, b, "cat /proc/self/oom_score_adj"); out != "500\n" {
		t.Errorf("who is killed first: %q", out)
	}
	if out := sh(t, b, "echo still here"); out != "still here\n" {
		t.Errorf("afterwards: %q", out)
	}
}

// TestProcessorLimit measures what two programs get of two processors in a
// bottle that has a tenth of one.
func TestProcessorLimit(t *testing.T) {
	limits := bottle.Limits{CPUs: 0.1}
	needGroups(t, limits)
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Limits = limits })
	began := time.Now()
	out := sh(t, b, `for i in 1 2; do timeout 2 sh -c 'while :; do :; done' & done; wait; times >/tmp/times; tail -1 /tmp/times`)
	wall := time.Since(began)
	fields := strings.Fields(out)
	if len(fields) != 2 {
		t.Fatalf("times: %q", out)
	}
	used := ticks(t, fields[0]) + ticks(t, fields[1])
	if share := float64(used) / float64(wall); share > 0.2 {
		t.Errorf("it used %v in %v: %.2f of a processor, its limit is 0.1", used, wall, share)
	}
	// On a machine that is busy a bottle gets little anyway: the kernel says
	// whether that was the limit's work.
	object, err := b.(*instance).platform.objects().find(b.Run())
	if err != nil || object == nil {
		t.Fatalf("find the bottle: %v", err)
	}
	stat, err := os.ReadFile(filepath.Join(groupsOf(t, *object)[0], "cpu.stat"))
	check(t, err)
	if !throttled.Match(stat) {
		t.Errorf("nobody was slowed down:\n%s", stat)
	}
}

// groupsOf are the directories of the control groups that hold a bottle.
func groupsOf(t *testing.T, o object) []string {
	t.Helper()
	if o.Scope == nil {
		return o.Groups
	}
	text, err := os.ReadFile(filepath.Join("/proc", itoa(o.Inside.PID), "cgroup"))
	check(t, err)
	_, path, found := strings.Cut(strings.TrimSpace(string(text)), "0::")
	if !found {
		t.Fatalf("process 1 of the bottle is in %q", text)
	}
	return append([]string{filepath.Join("/sys/fs/cgroup", path)}, o.Groups...)
}

var throttled = regexp.MustCompile(`(?m)^nr_throttled [1-9]`)

// ticks reads what `times` prints, as 0m1.250000s.
func ticks(t *testing.T, text string) time.Duration {
	t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestForkBomb lets one go off, in a control group and without; the bottle
// works when it is over, and the machine never noticed.
func TestForkBomb(t *testing.T) {
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Limits = bottle.Limits{PIDs: 60} })
	out := sh(t, b, `timeout -s KILL 2 sh -c 'bomb() { bomb | bomb & }; bomb; sleep 1; ls -d /proc/[0-9]* | wc -l' 2>/dev/null; echo over`)
	if !strings.HasSuffix(out, "over\n") {
		t.Errorf("it printed %q", out)
	}
	object, err := b.(*instance).platform.objects().find(b.Run())
	if err != nil || object == nil {
		t.Fatalf("find the bottle: %v", err)
	}
	if n := len(descendants(t, object.Supervisor.PID)); n > 60 {
		t.Errorf("%d processes in a bottle of 60", n)
	}
}

// TestGroupsAreRemoved looks for a bottle's control groups while it runs, when
// it is closed, and when another command removes it after its launcher lost it.
func TestGroupsAreRemoved(t *testing.T) {
	limits := bottle.Limits{Memory: 256 << 20, CPUs: 1, PIDs: 100}
	needGroups(t, limits)
	for name, end := range map[string]func(*testing.T, *instance){
		"closed":  func(t *testing.T, b *instance) { check(t, b.Close()) },
		"removed": func(t *testing.T, b *instance) { check(t, b.platform.Remove(t.Context(), b.Run())) },
	} {
		t.Run(name, func(t *testing.T) {
			b, store := launched(t, func(spec *bottle.Spec) { spec.Limits = limits })
			_, resources, err := store.Load(b.Run())
			check(t, err)
			object, err := b.(*instance).platform.objects().find(b.Run())
			if err != nil || object == nil {
				t.Fatalf("find the bottle: %v", err)
			}
			dirs := groupsOf(t, *object)
			for _, resource := range resources {
				if resource.Kind == kindScope && resource.Name == object.Scope.Bus+" "+object.Scope.Unit {
					continue
				}
				if resource.Kind != kindBottle && !slices.Contains(dirs, resource.Name) {
					t.Errorf("the ledger has %v", resource)
				}
			}
			if len(dirs) == 0 || len(resources) < 1+len(dirs) {
				t.Errorf("groups %v, ledger %v", dirs, resources)
			}
			for _, dir := range dirs {
				if slices.Contains(object.Groups, dir) {
					dir = filepath.Join(dir, leaf)
				}
				procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
				if err != nil || len(procs) == 0 {
					t.Errorf("%s holds %q, %v", dir, procs, err)
				}
			}
			end(t, b.(*instance))
			for _, dir := range dirs {
				if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s is still there: %v", dir, err)
				}
			}
		})
	}
}

// TestNestedKeepsItsLimits mounts the control groups inside, where an ordinary
// user's are the bottle's own to write, lifts all limits that it finds, and
// makes groups, one in another, that have to be removed.
func TestNestedKeepsItsLimits(t *testing.T) {
	limits := bottle.Limits{Memory: 256 << 20, CPUs: 1, PIDs: 100}
	needGroups(t, limits)
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Nested, spec.Limits = true, limits })
	object, err := b.(*instance).platform.objects().find(b.Run())
	if err != nil || object == nil {
		t.Fatalf("find the bottle: %v", err)
	}
	groups := groupsOf(t, *object)
	if object.Scope != nil {
		groups[0] = filepath.Dir(groups[0]) // the bottle is in a leaf of it
	}
	before := settingsOf(t, groups)
	out := sh(t, b, `exec 2>&1; unshare -UrmC sh -c '
		for kind in memory cpu pids 2; do
			mkdir /tmp/$kind
			if [ $kind = 2 ]; then mount -t cgroup2 none /tmp/2; else mount -t cgroup -o $kind none /tmp/$kind; fi || continue
			cd /tmp/$kind
			for file in memory.memsw.limit_in_bytes memory.limit_in_bytes cpu.cfs_quota_us; do [ ! -e $file ] || echo -1 >$file; done
			for file in memory.max cpu.max pids.max; do [ ! -e $file ] || echo max >$file; done
			mkdir -p made/within made/beside && echo made
		done'`)
	if os.Getuid() != 0 && !strings.Contains(out, "made") {
		t.Errorf("it made no group: %s", out)
	}
	if after := settingsOf(t, groups); after != before {
		t.Errorf("limits were\n%s, are\n%s", before, after)
	}
	check(t, b.Close())
	for _, dir := range object.Groups {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

// TestGroupsAreRemovedAtOnce is a launcher and another command that remove a
// bottle's groups at a time: each finds some that the other removed meanwhile.
func TestGroupsAreRemovedAtOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "claude-bottle-test")
	for range 300 {
		for i := range 4 {
			check(t, os.MkdirAll(filepath.Join(dir, leaf, strconv.Itoa(i), "within"), 0o755))
		}
		var both errgroup.Group
		for range 4 {
			both.Go(func() error { return removeGroup(t.Context(), dir) })
		}
		check(t, both.Wait())
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%s is still there: %v", dir, err)
		}
	}
}

// settingsOf are the limits of control groups, a line each.
func settingsOf(t *testing.T, groups []string) string {
	t.Helper()
	var text strings.Builder
	for _, dir := range groups {
		for _, file := range []string{
			"memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "cpu.cfs_quota_us", "memory.max", "cpu.max", "pids.max",
		} {
			value, err := os.ReadFile(filepath.Join(dir, file))
			if err == nil {
				fmt.Fprintf(&text, "%s: %s", filepath.Join(dir, file), value)
			}
		}
	}
	if text.Len() == 0 {
		t.Fatalf("no limits in %v", groups)
	}
	return text.String()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestLimitsThatCannotBeEnforced is a person without the right to make control
// groups: memory and processors are refused by name, before there is a plan.
func TestLimitsThatCannotBeEnforced(t *testing.T) {
	if os.Getuid() == 0 {
		out, err := asUser(t, "TestLimitsThatCannotBeEnforced").CombinedOutput()
		if err != nil || strings.Contains(string(out), "no tests to run") {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	needBubblewrap(t)
	for name, limits := range map[string]bottle.Limits{"memory": {Memory: 1 << 30}, "cpus": {CPUs: 1}} {
		store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
		check(t, err)
		p := newPlatform(t, store, func(string) (string, bool) { return "", false })
		_, err = p.Prepare(t.Context(), bottle.Spec{
			Slug: "test", Home: bottle.DefaultHome, Workspace: bottle.Workspace, UID: os.Getuid(), GID: os.Getgid(), Limits: limits,
		})
		if err == nil || !strings.HasPrefix(err.Error(), "limits "+name+": it cannot be enforced") || hint.Of(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(store.Root()); err == nil {
			entries, err := os.ReadDir(store.Root())
			if err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == Name }) {
				t.Errorf("something was made: %v, %v", entries, err)
			}
		}
	}
}

// TestLimitsOfAUser is a person to whom control groups were handed: the same
// limits hold as for root.
func TestLimitsOfAUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root hands control groups over")
	}
	needBubblewrap(t)
	needGroups(t, bottle.Limits{Memory: 1 << 30, CPUs: 1})
	cmd := asUser(t, "TestMemoryLimit|TestProcessorLimit|TestGroupsAreRemoved|TestNestedKeepsItsLimits")
	groups := handOver(t)
	cmd.Args[1] = "-test.run=^(TestMemoryLimit|TestProcessorLimit|TestGroupsAreRemoved|TestNestedKeepsItsLimits)$"
	cmd.Args = append([]string{"sh", "-c", `read go; exec "$@"`, "sh"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = "/bin/sh"
	cmd.Env = append(cmd.Env, "CI=true") // nothing is skipped
	runIn(t, cmd, groups)
}

// handOver makes a control group in each hierarchy that belongs to the ordinary
// user.
func handOver(t *testing.T) []string {
	t.Helper()
	var dirs []string
	for _, h := range hierarchies(os.Getuid(), os.Getenv) {
		if h.Closed != "" || h.Bus != "" {
			continue
		}
		for _, name := range h.Enable {
			check(t, writeSetting(filepath.Join(h.Parent, "cgroup.subtree_control"), "+"+name))
		}
		dir, err := os.MkdirTemp(h.Parent, "claude-bottle-test-")
		check(t, err)
		t.Cleanup(func() { check(t, removeGroup(context.Background(), dir)) })
		// What the person's shell is in; of version 2 beside the bottle's, since
		// a group with processes gives nothing to those below it.
		own := dir
		if h.Version == 2 {
			for _, name := range h.Controllers {
				check(t, writeSetting(filepath.Join(dir, "cgroup.subtree_control"), "+"+name))
			}
			own = filepath.Join(dir, "claude-bottle-shell")
			check(t, os.Mkdir(own, 0o755))
			t.Cleanup(func() { check(t, removeGroup(context.Background(), own)) })
		}
		for _, path := range []string{dir, filepath.Join(dir, "cgroup.procs"), own, filepath.Join(own, "cgroup.procs")} {
			check(t, os.Chown(path, ordinaryUser, ordinaryUser))
		}
		dirs = append(dirs, own)
	}
	return dirs
}

// runIn runs a command that waits for a line, once it is in the groups.
func runIn(t *testing.T, cmd *exec.Cmd, groups []string) {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	check(t, err)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	check(t, cmd.Start())
	for _, dir := range groups {
		check(t, writeSetting(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(cmd.Process.Pid)))
	}
	_, err = stdin.Write([]byte("go\n"))
	check(t, err)
	if err := cmd.Wait(); err != nil || strings.Contains(out.String(), "no tests to run") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
