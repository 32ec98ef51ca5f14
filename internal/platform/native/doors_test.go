//go:build linux

package native

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/bottle/bottletest"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/supervise"
	"claude-bottle/test/engine"
	"claude-bottle/test/variant"
)

// door is a way to open a bottle on purpose, and what the probe must say.
type door struct {
	open    func(t *testing.T, b *breach)
	variant variant.Variant // of our program; nil for none
	want    []string        // checks that fail, as bottletest.Check has them
}

// TestDoors opens every door that a launch checks, one in each launch: it
// fails, says which, and is undone. In the end each check that a launch makes
// has been seen to fail, but for those that are declared.
func TestDoors(t *testing.T) {
	engine.Long(t)
	needBubblewrap(t)
	if os.Getuid() != 0 {
		t.Skip("only root gives a bottle a network and devices, and nobody else's launches differ")
	}
	programs := variant.Open(t)
	var seen bottletest.Doors
	for name, d := range doors {
		t.Run(name, func(t *testing.T) { expectOpen(t, d, programs, &seen) })
	}
	if strings.Contains(flag.Lookup("test.run").Value.String(), "/") {
		t.Log("some doors only: what was not opened is not looked for")
		return
	}
	b, store := launched(t, func(spec *bottle.Spec) { spec.Egress = oneName })
	bottletest.Cover(t, bottletest.Verdict(t, store, b.Run()), sealed, &seen)
}

var oneName = policy.Egress{Allow: []policy.Allow{{Host: "allowed.example"}}}

// openings is how often a door is opened: on a machine that is busy an answer
// may come after the probe's deadline, when the launch has failed for the others.
const openings = 4

func expectOpen(t *testing.T, d door, programs *variant.Workshop, seen *bottletest.Doors) {
	t.Helper()
	store, err := runs.Open(filepath.Join(reachableDir(t), "state"))
	if err != nil {
		t.Fatal(err)
	}
	p := newPlatform(t, store, func(string) (string, bool) { return "", false })
	if d.variant != nil {
		p.config.Binary = programs.Build(t, d.variant)
	}
	if d.open != nil {
		d.open(t, &p.breach)
	}
	missing := d.want
	for n := 0; n < openings && (n == 0 || len(missing) > 0); n++ {
		spec := plainSpec()
		spec.Egress = oneName
		missing = seen.Open(t, launchOpen(t, p, spec), missing)
		if left, err := store.List(); err != nil || len(left) > 0 {
			t.Errorf("the launch was not undone: %+v, %v", left, err)
		}
	}
	if len(missing) > 0 {
		t.Errorf("nothing about %q", missing)
	}
}

// launchOpen is why a launch failed, which is open and must not live.
func launchOpen(t *testing.T, p *Platform, spec bottle.Spec) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	b, err := p.Launch(ctx, plan, environ.Secrets{})
	if err == nil {
		_ = b.Close()
		t.Fatal("the bottle is open, and was launched")
	}
	return err
}

// before gives bubblewrap more arguments, right before those that come to
// nothing but what is at a place.
func before(option, at string, more ...string) func(*testing.T, *breach) {
	return func(t *testing.T, b *breach) {
		b.order = func(o *supervise.Order, _ int) {
			for i := range len(o.Args) - 1 {
				if o.Args[i] == option && o.Args[i+1] == at {
					o.Args = slices.Insert(o.Args, i, more...)
					return
				}
			}
			t.Errorf("bubblewrap has no argument %s %s", option, at)
		}
	}
}

// unprotected leaves the kernel's settings as a user namespace has them.
func unprotected(t *testing.T, b *breach) {
	b.order = func(o *supervise.Order, _ int) {
		for i := range len(o.Args) - 2 {
			if o.Args[i] == "--ro-bind" && o.Args[i+1] == "/proc/sys" {
				o.Args = slices.Delete(o.Args, i, i+3)
				return
			}
		}
		t.Error("nothing protects the kernel's settings")
	}
}

// withFile mounts a file that anybody may open.
func withFile(at string, make func(path string) error) func(*testing.T, *breach) {
	return func(t *testing.T, b *breach) {
		path := filepath.Join(reachableDir(t), "f") // short: a socket's path ends at 107 bytes (unix(7))
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o666); err != nil {
			t.Fatal(err)
		}
		root := "/"
		if strings.HasPrefix(at, "/dev/") {
			root = "/dev"
		}
		before("--remount-ro", root, "--dev-bind", path, at)(t, b)
	}
}

func memory(path string) error { return os.WriteFile(path, []byte("a page"), 0o600) }

func device(path string) error {
	return unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 8))) //nolint:gosec // G115: a number
}

// socket is one that is there as long as the test's process: the kernel takes
// connections for it. A listener of net's would close with its last reference.
func socket(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return err
	}
	return unix.Listen(fd, 1)
}

// withNetwork gives the bottle's namespace an interface whose other end is the
// host's.
func withNetwork(t *testing.T, b *breach) {
	b.order = func(_ *supervise.Order, inside int) {
		pid := itoa(inside)
		for _, command := range []string{
			"ip link add cb-door type veth peer name cb-way",
			"ip link set cb-way netns " + pid,
			"ip address add 198.51.100.1/24 dev cb-door",
			"ip address add fdcb:7e59::1/64 dev cb-door nodad",
			"ip link set cb-door up",
			"nsenter -t " + pid + " -n ip address add 198.51.100.2/24 dev cb-way",
			"nsenter -t " + pid + " -n ip address add fdcb:7e59::2/64 dev cb-way nodad",
			"nsenter -t " + pid + " -n ip link set cb-way up",
			"nsenter -t " + pid + " -n ip route add default via 198.51.100.1",
		} {
			argv := strings.Fields(command)
			if out, err := exec.CommandContext(t.Context(), argv[0], argv[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s", command, err, out)
			}
		}
	}
}

// withNameServer has the bottle's programs ask another.
func withNameServer(t *testing.T, b *breach) {
	b.order = func(o *supervise.Order, _ int) {
		for i, c := range o.Contents {
			if c.Target == "/etc/resolv.conf" {
				o.Contents[i].Data = "nameserver 127.0.0.1\n"
				return
			}
		}
		t.Error("the bottle has no resolv.conf")
	}
}

// withDirectories has somebody else's directories where the run's are expected.
func withDirectories(t *testing.T, b *breach) {
	dir := reachableDir(t)
	below := strings.TrimPrefix(bottle.Workspace, bottle.DefaultHome)
	if err := os.MkdirAll(filepath.Join(dir, below, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	before("--remount-ro", "/dev", "--bind", dir, bottle.DefaultHome)(t, b)
}

func muteHost(_ *testing.T, b *breach) {
	b.hosts = func(hosts *probe.Hosts) { _ = hosts.Close() }
}

// doors are all that a bottle here has.
var doors = map[string]door{
	"a network": {open: withNetwork, want: []string{
		"network: no interface but loopback", "network: no address but the bottle's", "network: no IPv6", "far side: no route",
		"host: HOST tcp", "host: HOST udp", "host: HOST6 tcp", "host: HOST6 udp",
		"broadcast: 255.255.255.255 udp", "broadcast: 224.0.0.1 udp", "broadcast: datagrams to everybody, at the host",
	}},
	"other directories in place of the run's": {open: withDirectories, want: []string{
		"mounted: " + bottle.DefaultHome, "mounted: " + bottle.Workspace, "mounted: " + bottle.Workspace + "/.git",
	}},
	"root": {
		open: before("--hostname", "test", "--uid", "0", "--gid", "0"), want: []string{"user: uid N, gid N and no other"},
	},
	"capabilities":               {open: before("--hostname", "test", "--cap-add", "ALL"), want: []string{"capabilities: none, in no set"}},
	"the guest's filter is gone": {variant: variant.GuestUnfiltered, want: []string{"filter: seccomp", "call: bpf", "call: io_uring"}},
	"the guest can be read":      {variant: variant.GuestDumpable, want: []string{"memory: memory of the guest"}},
	"the kernel's settings":      {open: unprotected, want: []string{"setting: files that set the host"}},
	"the kernel's memory":        {open: withFile("/dev/mem", memory), want: []string{"setting: files that show the host"}},
	"a device":                   {open: withFile("/dev/odd", device), want: []string{"device: nodes in /dev"}},
	"an engine's socket":         {open: withFile("/run/docker.sock", socket), want: []string{"socket: sockets of engines"}},
	"another name server": {open: withNameServer, want: []string{
		"plain: HTTP to an allowed name", "plain: TLS to an allowed name",
	}},
	"the gateway is not hardened": {variant: slices.Concat(variant.GatewayBare, variant.GatewayUnbound), want: []string{
		"memory: memory of the gateway", "filter: of the gateway", "privileges: of the gateway",
	}},
	"the gateway opens files": {variant: variant.GatewayUnbound, want: []string{
		"files: / by the gateway", "files: /etc/passwd by the gateway", "files: RUN/work by the gateway", "files: RUN/home by the gateway",
	}},
	"the gateway allows everything":  {variant: variant.GatewayAllows, want: refusing},
	"the gateway refuses everything": {variant: variant.GatewayRefuses, want: allowing},
	"the gateway is deaf":            {variant: variant.GatewayDeaf, want: slices.Concat(refusing, allowing)},
	"no canary of the host's sings":  {open: muteHost, want: []string{"control: the host's canary"}},
}

// Ways that a gateway has, to a name that is refused and to one that is allowed.
var (
	refusing = []string{
		"proxy: CONNECT to a refused name", "proxy: GET of a refused name", "proxy: SOCKS to a refused name",
		"plain: HTTP to a refused name", "plain: TLS to a refused name",
		"names: a refused name over udp", "names: a refused name over tcp",
	}
	allowing = []string{
		"proxy: CONNECT to an allowed name", "plain: HTTP to an allowed name", "plain: TLS to an allowed name",
		"names: an allowed name over udp", "names: an allowed name over tcp",
	}
)

// sealed are the checks that cannot be opened here, and why.
var sealed = map[string]string{
	"program: sh":                  "a bottle whose harness is missing is launched, and the exec says so",
	"privileges: no new ones":      "bubblewrap gives up new ones whatever it is asked",
	"device: making a node":        "the kernel makes none for who has no rights outside its user namespace",
	"call: the kernel's log":       "the kernel refuses it to who has no rights, in the filter's words",
	"user: of the gateway":         "who is root makes no namespace: there is no launch to be probed",
	"capabilities: of the gateway": "it is started as an ordinary user, who has none",
}
