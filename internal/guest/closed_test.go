//go:build linux

package guest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/wire"
	"claude-bottle/test/engine"
)

const someUID = 54321 // nobody's

func TestNoDescriptorLeaks(t *testing.T) {
	t.Parallel()
	// The runtime leaves one open, as an engine may.
	leaked, err := os.Open("/")
	if err != nil {
		t.Fatal(err)
	}
	defer leaked.Close()
	b := launch(t, func(cmd *exec.Cmd, _ *wire.GuestBoot) { cmd.ExtraFiles = []*os.File{leaked} })
	for _, client := range []*wire.GuestClient{b.GuestClient, b.dial(t, 0)} {
		for _, terminal := range []bool{false, true} {
			start := wire.Start{Argv: []string{"ls", "/proc/self/fd"}, Terminal: terminal}
			got := run(t, client, start, "")
			// The fourth is ls reading the directory.
			if fds := strings.Fields(got.stdout); strings.Join(fds, " ") != "0 1 2 3" {
				t.Errorf("terminal %v: descriptors %v", terminal, fds)
			}
		}
	}
}

func TestGuestIsClosedToItsOwnUID(t *testing.T) {
	t.Parallel()
	b := launch(t, asUID(someUID))
	for _, file := range []string{"environ", "mem", "maps", "fd/0", "exe", "root/", "cwd/", "syscall"} {
		got := shell(t, b.GuestClient, "id -u; head -c 1 /proc/1/"+file+" 2>&1; ls /proc/1/"+file)
		if !strings.HasPrefix(got.stdout, strconv.Itoa(someUID)+"\n") {
			t.Fatalf("not run as %d: %+v", someUID, got)
		}
		if !strings.Contains(got.stdout, "Permission denied") && !strings.Contains(got.stdout, "No such file") {
			t.Errorf("/proc/1/%s: %q", file, got.stdout)
		}
	}
	// And its own are its own: not dumpable ends with exec.
	if got := shell(t, b.GuestClient, "cat /proc/$$/environ"); !strings.Contains(got.stdout, "KEPT=yes") {
		t.Errorf("a process cannot read its own environment: %+v", got)
	}
}

func TestSecretsGoToOneProcess(t *testing.T) {
	t.Parallel()
	secret := withBoot(func(boot *wire.GuestBoot) { boot.Secrets = []string{"TOKEN=s3cret", "KEPT=hidden"} })
	b := launch(t, secret)
	echo := wire.Start{Argv: []string{"sh", "-c", "echo $TOKEN $KEPT"}}
	if got := run(t, b.GuestClient, echo, ""); got.stdout != "yes\n" {
		t.Errorf("a process that did not ask got %q", got.stdout)
	}
	asks := echo
	asks.Secrets = true
	if _, err := b.dial(t, 0).Exec(deadline(t), asks, wire.Streams{}); err == nil || !strings.Contains(err.Error(), "boot stream") {
		t.Errorf("the socket was given secrets: %v", err)
	}
	missing := wire.Start{Argv: []string{"no-such"}, Secrets: true}
	if got := run(t, b.GuestClient, missing, ""); got.exit.Code != 127 {
		t.Errorf("missing program: %+v", got)
	}
	if got := run(t, b.GuestClient, asks, ""); got.stdout != "s3cret hidden\n" {
		t.Errorf("the process that asked got %q", got.stdout)
	}
	if got := run(t, b.GuestClient, asks, ""); got.exit.Code != 126 || !strings.Contains(got.exit.Message, "forgotten") {
		t.Errorf("the second that asked: %+v", got)
	}
	if got := run(t, b.GuestClient, echo, ""); got.stdout != "yes\n" {
		t.Errorf("a later process got %q", got.stdout)
	}
}

func TestSecretsAreForgotten(t *testing.T) {
	t.Parallel()
	value := "v" + strings.Repeat("ery-secret-", 9) + strconv.Itoa(os.Getpid())
	b := launch(t, withBoot(func(boot *wire.GuestBoot) { boot.Secrets = []string{"TOKEN=" + value, `OTHER="` + value} }))
	if n := occurrences(t, b.cmd.Process.Pid, value); n == 0 {
		t.Fatal("the test finds nothing where the secrets are")
	}
	start := wire.Start{Argv: []string{"sh", "-c", "true"}, Secrets: true}
	if got := run(t, b.GuestClient, start, ""); got.exit.Code != 0 {
		t.Fatal(got)
	}
	if n := occurrences(t, b.cmd.Process.Pid, value); n != 0 {
		t.Errorf("the guest's memory holds the secret %d times", n)
	}
}

// occurrences counts text in the writable memory of a process.
func occurrences(t *testing.T, pid int, text string) int {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	found := 0
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || !strings.HasPrefix(mode, "rw") || to-from > 64<<20 { // not the race detector's
			continue
		}
		region := make([]byte, to-from)
		n, _ := mem.ReadAt(region, int64(from))
		found += bytes.Count(region[:n], []byte(text))
	}
	return found
}

func TestSocketIsForOneUID(t *testing.T) {
	t.Parallel()
	b := launch(t)
	if got := shell(t, b.dial(t, 0), "echo in"); got.stdout != "in\n" {
		t.Errorf("the dial uid: %+v", got)
	}
	var out bytes.Buffer
	_, err := b.dial(t, someUID).Exec(deadline(t), sh("echo in"), wire.Streams{Stdout: &out})
	if err == nil || out.Len() != 0 {
		t.Errorf("another uid: %v, printed %q", err, out.String())
	}
}

func TestConversationsAreBounded(t *testing.T) {
	t.Parallel()
	b := launch(t)
	// One process holds them all open.
	const hold = `import socket,time
all=[]
for i in range(70):
    s=socket.socket(socket.AF_UNIX); s.connect("\0claude-bottle-guest"); all.append(s)
print("held",flush=True)
all[-1].settimeout(10)
print(all[-1].recv(200),flush=True)
`
	engine.Tool(t, "python3")
	got := run(t, b.GuestClient, wire.Start{Argv: []string{"python3", "-c", hold}}, "")
	if !strings.Contains(got.stdout, "conversations are open") {
		t.Errorf("%+v", got)
	}
	if got := shell(t, b.dial(t, 0), "echo in"); got.stdout != "in\n" {
		t.Errorf("afterwards: %+v", got)
	}
}

func TestGuestRefusesWhatIsNotItsLaunchers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*wire.GuestBoot)
		want   string
	}{
		{"other nonce", func(b *wire.GuestBoot) { b.Nonce = "another" }, "mounts another file system"},
		{"no nonce", func(b *wire.GuestBoot) { b.Nonce = "" }, "no nonce"},
		{"no file", func(b *wire.GuestBoot) { b.NoncePath = "/no/file" }, "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b, boot := spawn(t, withBoot(test.change))
			if err := b.Boot(deadline(t), boot); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("Boot: %v, want %q", err, test.want)
			}
			if b.end(t) == nil {
				t.Error("the guest ended well")
			}
		})
	}
}

func TestEverythingEndsWithTheBootStream(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"process 1": nil, "subreaper": {asSubreaper}} {
		t.Run(name, func(t *testing.T) {
			b := launch(t, options...)
			// Out of its session, deaf to signals, forked twice.
			pidFile := b.nonce + ".pid"
			script := "trap '' HUP TERM INT; setsid sh -c 'echo up > " + pidFile + "; exec sleep 4242' </dev/null >/dev/null 2>&1 & " +
				"while [ ! -s " + pidFile + " ]; do :; done"
			if got := shell(t, b.GuestClient, script); got.exit.Code != 0 {
				t.Fatal(got)
			}
			inside := descendants(b.cmd.Process.Pid)
			if len(inside) == 0 {
				t.Fatal("nothing is left behind inside")
			}
			begin := time.Now()
			_ = b.Close()
			if err := b.end(t); err != nil {
				t.Errorf("the guest: %v", err)
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("took %v", took)
			}
			for _, pid := range inside {
				if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && strings.Contains(string(line), "4242") {
					t.Errorf("still runs: %q", line)
				}
			}
		})
	}
}

func TestLauncherThatIsGoneEndsItsProcess(t *testing.T) {
	t.Parallel()
	b := launch(t)
	for _, test := range []struct {
		name, script, args string
		terminal, deaf     bool
	}{
		{"by SIGHUP", `echo up; exec sleep 71`, "sleep 71", false, false},
		{"deaf", `trap "" HUP; echo up; sleep 72; sleep 73`, "sleep 72", false, true},
		{"in a terminal", `echo up; exec sleep 74`, "sleep 74", true, false},
		{"deaf in a terminal's job", `trap "" HUP; set -m; sh -c "echo up; exec sleep 75"; sleep 76`, "sleep 75", true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			client := b.dial(t, 0)
			start := sh(test.script)
			start.Terminal = test.terminal
			var begin time.Time
			_, err := client.Exec(deadline(t), start, wire.Streams{Stdout: onWrite(func() {
				begin = time.Now()
				_ = client.Close()
			})})
			if err == nil {
				t.Fatal("Exec ended well")
			}
			watch := b.dial(t, 0)
			gone(t, watch, test.args)
			gone(t, watch, "sh -c "+test.script)
			if took := time.Since(begin); test.deaf != (took >= farewell) {
				t.Errorf("took %v, the farewell is %v", took, farewell)
			}
		})
	}
}

func TestGuestSurvivesSignalsFromInside(t *testing.T) {
	t.Parallel()
	b := launch(t, asUID(someUID))
	shell(t, b.GuestClient, "for s in HUP INT QUIT PIPE USR1 USR2 ALRM TSTP KILL STOP; do kill -$s 1; done")
	if got := shell(t, b.GuestClient, "trap; echo on"); got.stdout != "on\n" {
		t.Errorf("%+v", got)
	}
	got := shell(t, b.GuestClient, "grep -E 'Sig(Ign|Blk)' /proc/self/status")
	// The C library's own two signals (32 and 33) may be ignored by whoever
	// started the tests, as some builds of make do; nobody but it can change that.
	const libraryOwn = 1<<31 | 1<<32
	var blocked, ignored uint64
	if _, err := fmt.Sscanf(got.stdout, "SigBlk:\t%x\nSigIgn:\t%x\n", &blocked, &ignored); err != nil {
		t.Fatalf("%q: %v", got.stdout, err)
	}
	if blocked != 0 || ignored&^libraryOwn != 0 {
		t.Errorf("a process begins with %q", got.stdout)
	}
}

func TestOrphansAreReapedBesideProcesses(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]option{"process 1": nil, "subreaper": {asSubreaper}} {
		t.Run(name, func(t *testing.T) {
			b := launch(t, options...)
			const orphans = "i=0; while [ $i -lt 1500 ]; do (true &) ; i=$((i+1)); done; echo made"
			shell(t, b.GuestClient, "("+orphans+") >/dev/null 2>&1 &")
			for i := range 150 {
				if got := shell(t, b.GuestClient, fmt.Sprintf("exit %d", i)); got.exit.Code != i {
					t.Fatalf("process %d beside orphans: %+v", i, got)
				}
			}
			if got := shell(t, b.GuestClient, orphans); got.stdout != "made\n" {
				t.Fatal(got)
			}
			for end := time.Now().Add(10 * time.Second); ; {
				zombies := 0
				for _, pid := range descendants(b.cmd.Process.Pid) {
					stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
					if bytes.Contains(stat, []byte(") Z ")) {
						zombies++
					}
				}
				if zombies == 0 {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("%d zombies", zombies)
				}
			}
		})
	}
}
