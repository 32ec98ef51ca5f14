//go:build linux

package native

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/supervise"
	"claude-bottle/internal/wire"
)

// launched is a bottle of a store of its own, and that store.
func launched(t *testing.T, change func(*bottle.Spec)) (bottle.Bottle, *runs.Store) {
	t.Helper()
	b := launchedWith(t, func(*Platform) {}, change)
	return b, b.(*instance).platform.config.Store
}

// launchedWith is launched for a person whose surroundings are set up.
func launchedWith(t *testing.T, setUp func(*Platform), change func(*bottle.Spec)) bottle.Bottle {
	t.Helper()
	needBubblewrap(t)
	store, err := runs.Open(filepath.Join(reachableDir(t), "state"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })
	setUp(p)
	spec := plainSpec()
	if change != nil {
		change(&spec)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Launch(ctx, plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// plainSpec is a bottle of a shell that may reach nothing.
func plainSpec() bottle.Spec {
	uid, gid := bottle.Person(os.Getuid(), os.Getgid(), os.LookupEnv)
	return bottle.Spec{
		Agent: "Test", Slug: "test", Bottle: "test", Harness: "command", Argv: []string{"sh"},
		Isolation: bottle.Auto, Home: bottle.DefaultHome, Workspace: bottle.Workspace, UID: uid, GID: gid,
	}
}

// sh runs a script inside and returns what it printed.
func sh(t *testing.T, b bottle.Bottle, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out bytes.Buffer
	_, err := b.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", script}}, wire.Streams{Stdout: &out, Stderr: &out})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestNoSettingIsWritable tries to open every file below /proc/sys for writing,
// and what else in /proc sets the host: as the host's uid 0, also without any
// capability, some of them open.
func TestNoSettingIsWritable(t *testing.T) {
	b, _ := launched(t, nil)
	out := sh(t, b, `n=0
		for f in $(find /proc/sys /proc/sysrq-trigger /proc/irq /proc/bus -type f 2>/dev/null); do
			n=$((n+1)); (: >>"$f") 2>/dev/null && echo "open: $f"
		done; echo "tried $n"`)
	if strings.Contains(out, "open: ") {
		t.Errorf("settings of the host:\n%s", out)
	}
	if !strings.Contains(out, "tried ") || strings.Contains(out, "tried 0\n") {
		t.Errorf("nothing was tried: %s", out)
	}
}

// TestNoProcessIsRoot looks from the host at every process of a bottle, and at
// the host's ids behind those that it sees inside.
func TestNoProcessIsRoot(t *testing.T) {
	b, _ := launched(t, nil)
	object, err := b.(*instance).platform.objects().find(b.Run())
	if err != nil || object == nil {
		t.Fatalf("find the bottle: %v", err)
	}
	pids := append([]int{object.Supervisor.PID}, descendants(t, object.Supervisor.PID)...)
	if len(pids) < 3 {
		t.Fatalf("processes %v: there should be the supervisor, bubblewrap and the guest", pids)
	}
	for _, pid := range pids {
		status, err := os.ReadFile(filepath.Join("/proc", itoa(pid), "status"))
		if err != nil {
			continue // it has just ended
		}
		for line := range strings.Lines(string(status)) {
			if fields := strings.Fields(line); len(fields) == 5 && (fields[0] == "Uid:" || fields[0] == "Gid:") {
				for _, id := range fields[1:] {
					if id == "0" {
						t.Errorf("process %d: %s", pid, line)
					}
				}
			}
		}
	}
}

// TestNothingOfTheHostIsInside looks for what a bottle must not have.
func TestNothingOfTheHostIsInside(t *testing.T) {
	secret := filepath.Join(reachableDir(t), "secret")
	if err := os.WriteFile(secret, []byte("a secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOST_SECRET", "a secret")
	b, _ := launched(t, nil)
	for what, script := range map[string]string{
		"a file of the host's":      "cat " + secret,
		"the host's homes":          "ls /root; ls -d /home/* | grep -vx /home/node",
		"sockets":                   "find / -xdev -type s 2>/dev/null; find /run /tmp /var -type s 2>/dev/null",
		"the launcher's variables":  "env | grep -i secret; tr '\\0' '\\n' </proc/1/environ | grep -i secret",
		"private keys of the host":  "ls /etc/ssl/private /etc/ssh /etc/shadow /etc/sudoers",
		"processes of the host":     "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done | grep -v -e claude-bottle -e ^sh -e '^tr ' -e '^grep ' -e '^$'",
		"interfaces but loopback":   "ls /sys/class/net 2>/dev/null; tail -n +3 /proc/net/dev | grep -v '^ *lo:'",
		"abstract sockets of hosts": "tail -n +2 /proc/net/unix | grep @ | grep -v claude-bottle",
		"other mounts to write to":  `grep ' rw,' /proc/mounts | cut -d' ' -f2 | grep -v -e '^/proc' -e '^/dev' -e '^/tmp$' -e '^/var/tmp$' -e '^/run$' -e '^/home/node'`,
	} {
		out := sh(t, b, "("+script+") 2>/dev/null")
		if strings.TrimSpace(out) != "" {
			t.Errorf("%s: %s", what, out)
		}
	}
}

// TestDiskLimit sees a bottle end that writes more than it may.
func TestDiskLimit(t *testing.T) {
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Limits.Disk = 1 << 20 })
	// It may end before the command does.
	_, _ = b.Exec(t.Context(), wire.Start{Argv: []string{"sh", "-c", "head -c 4000000 /dev/zero >big; exec sleep 1000"}}, wire.Streams{})
	select {
	case <-b.Lost():
	case <-time.After(time.Minute):
		t.Fatal("it goes on")
	}
	if err := b.Err(); err == nil || !strings.Contains(err.Error(), "disk") {
		t.Errorf("why: %v", err)
	}
}

// TestProcessLimit counts the processes of a bottle alone, and not the person's
// other ones.
func TestProcessLimit(t *testing.T) {
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Limits.PIDs = 40 })
	out := sh(t, b, `i=0; while [ $i -lt 100 ]; do sleep 100 & i=$((i+1)); done; echo all`)
	if strings.Contains(out, "all") || !strings.Contains(out, "ork") {
		t.Errorf("100 processes run in a bottle of 40: %q", out)
	}
}

// TestGatewayIsConfined holds the probe to looking at what the gateway can
// open, which is nothing of the person's.
func TestGatewayIsConfined(t *testing.T) {
	if !supervise.HasLandlock() {
		t.Skip("the kernel has no Landlock")
	}
	b, store := launched(t, nil)
	data, err := os.ReadFile(filepath.Join(store.Dir(b.Run()), bottle.IsolationFile))
	if err != nil {
		t.Fatal(err)
	}
	var verdict probe.Verdict
	if err := json.Unmarshal(data, &verdict); err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, finding := range verdict.Findings {
		if finding.Kind == probe.Files {
			looked++
			if finding.Failed || !strings.Contains(finding.Detail, "denied") {
				t.Errorf("%s: %s", finding.Target, finding.Detail)
			}
		}
	}
	if looked < 4 {
		t.Errorf("%d files were tried", looked)
	}
}
