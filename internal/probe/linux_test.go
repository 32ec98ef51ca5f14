//go:build linux

package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/confine"
	"claude-bottle/internal/wire"
)

// TestArguments: what each row of the filter is tried with is what it refuses,
// and no row is left out.
func TestArguments(t *testing.T) {
	for _, row := range confine.Bottle().Bounded().Refused {
		for name := range strings.FieldsSeq(row.Calls) {
			tries := arguments(name, row.When)
			if len(tries) == 0 {
				t.Errorf("%s: nothing to try %s with", row.Name, name)
			}
			for _, args := range tries {
				for _, condition := range row.When {
					if !holds(condition, args[condition.Argument]) {
						t.Errorf("%s: %s is tried with %x, which is not refused", row.Name, name, args)
					}
				}
			}
		}
	}
}

// TestCallsDoNoHarm makes every call without a filter, in a session of its
// own: the kernel must refuse its arguments, whoever makes it.
func TestCallsDoNoHarm(t *testing.T) {
	if os.Getenv("PROBE_TEST_CALLS") != "" {
		_ = json.NewEncoder(os.Stdout).Encode(unfiltered())
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCallsDoNoHarm$")
	cmd.Env = append(os.Environ(), "PROBE_TEST_CALLS=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("the calls ended the process: %v", err)
	}
	var made []string
	if err := json.NewDecoder(&out).Decode(&made); err != nil {
		t.Fatal(err)
	}
	if len(made) < 5 {
		t.Errorf("only %v went through", made)
	}
	// What these do is the process's own: its personality, reading its own
	// table, hanging up the terminal that it has not.
	harmless := []string{"personality", "modify_ldt", "vhangup"}
	for _, name := range made {
		if !slices.Contains(harmless, name) && !strings.HasSuffix(name, " refused by the kernel") {
			t.Errorf("%s was done", name)
		}
	}
}

// unfiltered makes every call and tells what became of those that a filter
// would have answered otherwise.
func unfiltered() []string {
	runtime.LockOSThread()
	var made []string
	for _, row := range confine.Bottle().Bounded().Refused {
		for name := range strings.FieldsSeq(row.Calls) {
			number, ok := confine.Number(name)
			if !ok {
				continue
			}
			for _, args := range arguments(name, row.When) {
				_, _, errno := unix.RawSyscall6(number, args[0], args[1], args[2], args[3], args[4], args[5])
				switch errno {
				case row.Errno:
				case 0:
					made = append(made, name)
				default:
					made = append(made, name+" refused by the kernel")
				}
			}
		}
	}
	return slices.Compact(made)
}

func TestCapabilities(t *testing.T) {
	none := "0000000000000000"
	fields := map[string]string{"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none}
	if got := capabilities(fields, wire.Kernel{}); got.failed {
		t.Errorf("none: %+v", got)
	}
	for set := range fields {
		one := map[string]string{}
		for name, value := range fields {
			one[name] = value
		}
		one[set] = "0000000000000400"
		if got := capabilities(one, wire.Kernel{}); !got.failed || !strings.Contains(got.detail, set) {
			t.Errorf("one in %s: %+v", set, got)
		}
		delete(one, set)
		if got := capabilities(one, wire.Kernel{}); !got.failed {
			t.Errorf("%s is not reported: %+v", set, got)
		}
	}
}

func TestFilter(t *testing.T) {
	linux := wire.Kernel{Name: "Linux", Seccomp: "2", NoNewPrivs: "1", Filters: 2}
	for name, test := range map[string]struct {
		status map[string]string
		open   bool
	}{
		"both":                      {map[string]string{"Seccomp": "2", "Seccomp_filters": "2", "NoNewPrivs": "1"}, false},
		"an administrator's beside": {map[string]string{"Seccomp": "2", "Seccomp_filters": "3", "NoNewPrivs": "1"}, false},
		"a kernel that counts none": {map[string]string{"Seccomp": "2", "NoNewPrivs": "1"}, false},
		"one":                       {map[string]string{"Seccomp": "2", "Seccomp_filters": "1", "NoNewPrivs": "1"}, true},
		"none":                      {map[string]string{"Seccomp": "0", "NoNewPrivs": "1"}, true},
		"not said":                  {map[string]string{"NoNewPrivs": "1"}, true},
	} {
		if got := filter(test.status, linux); got.failed != test.open {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := privileges(map[string]string{"NoNewPrivs": "0"}, linux); !got.failed {
		t.Errorf("new privileges: %+v", got)
	}
}

// TestBound reads the kernel's own tables.
func TestBound(t *testing.T) {
	canary, err := Listen(t.Context(), netip.MustParseAddr("127.0.0.1"), "word")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = canary.Close() }()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), canary.Port())
	for _, table := range []string{"tcp", "udp"} {
		text, err := os.ReadFile("/proc/self/net/" + table)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(bound(string(text)), at) {
			t.Errorf("%s has no %s", table, at)
		}
	}
	const six = "  0: 000080FE00000000FF00FC000100FEFE:0035 00000000000000000000000000000000:0000 0A 0:0"
	if got := bound(six); len(got) != 1 || got[0].String() != "[fe80::fc:ff:fefe:1]:53" {
		t.Errorf("IPv6: %v", got)
	}
}

// TestBottleTellsWhatComesLate: a door opens after the deadline.
func TestBottleTellsWhatComesLate(t *testing.T) {
	// A listener whose queue is full takes no connection, and when it has room
	// takes one that tries again.
	listener, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(listener) }()
	if err := unix.Bind(listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(listener, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(listener)
	if err != nil {
		t.Fatal(err)
	}
	at := name.(*unix.SockaddrInet4)
	filler, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(filler) }()
	if err := unix.Connect(filler, at); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	probed, late := Bottle(ctx, wire.Probe{
		Deadline: time.Millisecond, Late: 10 * time.Second,
		Doors:  []wire.Door{{Kind: Host, Address: netip.AddrPortFrom(netip.AddrFrom4(at.Addr), uint16(at.Port))}},
		Kernel: wire.Kernel{Skip: []string{Network}},
	}, nil)
	tcp := slices.IndexFunc(probed.Findings, func(f wire.Finding) bool { return strings.HasSuffix(f.Target, "tcp") })
	if tcp < 0 || probed.Findings[tcp].Failed {
		t.Fatalf("at the deadline: %+v", probed)
	}
	accepted, _, err := unix.Accept(listener)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(accepted) }()
	for finding := range late {
		if finding.Detail == "connection accepted" {
			return
		}
	}
	t.Error("nothing came late")
}

// TestRoutes: one that does not stay in the machine is seen.
func TestRoutes(t *testing.T) {
	const (
		head  = "Iface\tDestination\tGateway \tFlags\n"
		lo    = "lo\t0000007F\t00000000\t0001\n"
		other = "eth0\t00000000\t0100000A\t0003\n"
		six   = "00000000000000000000000000000001 80 00000000000000000000000000000000 00 00000000 00000000 lo\n"
		away  = "fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000100 00000000 eth0\n"
	)
	for name, test := range map[string]struct {
		four, six string
		open      bool
	}{
		"none":               {head, "", false},
		"loopback's":         {head + lo, six, false},
		"one that leads out": {head + lo + other, six, true},
		"one of IPv6":        {head, six + away, true},
	} {
		dir := t.TempDir()
		for file, text := range map[string]string{"route": test.four, "ipv6_route": test.six} {
			if err := os.WriteFile(dir+"/"+file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := routes(dir); got.failed != test.open {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
