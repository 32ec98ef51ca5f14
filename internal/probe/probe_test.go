package probe

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answering is a check whose answer comes when told.
func answering(kind string, silent bool, when <-chan struct{}, o outcome) check {
	return check{kind, "somewhere", silent, func(ctx context.Context) outcome {
		select {
		case <-when:
			return o
		case <-ctx.Done():
			return closed("silence")
		}
	}}
}

// never is when nothing comes.
var never = make(chan struct{})

func TestSilenceIsClosedAtTheDeadline(t *testing.T) {
	began := time.Now()
	probed, late := run(t.Context(), trial{
		checks: []check{answering(Host, true, never, open(""))}, deadline: 5 * time.Millisecond, late: 5 * time.Millisecond,
	})
	if took := time.Since(began); took < 5*time.Millisecond || took > time.Second {
		t.Errorf("it took %s", took)
	}
	if len(probed.Findings) != 1 || probed.Findings[0].Failed || !strings.HasPrefix(probed.Findings[0].Detail, "silence for ") {
		t.Errorf("found %+v", probed)
	}
	if finding, open := <-late; open {
		t.Errorf("a door opened late: %+v", finding)
	}
}

// TestSilenceCountsWhenAnswersAreSeen: no door is called closed before what
// must answer has.
func TestSilenceCountsWhenAnswersAreSeen(t *testing.T) {
	door, way := make(chan struct{}), make(chan struct{})
	done := make(chan wire.Probed, 1)
	go func() {
		probed, _ := run(t.Context(), trial{checks: []check{
			answering(Host, true, door, open("accepted")), answering(Proxy, false, way, works("answered")),
		}, deadline: time.Millisecond, late: time.Minute})
		done <- probed
	}()
	<-time.After(20 * time.Millisecond) // many deadlines
	close(door)
	select {
	case probed := <-done:
		t.Fatalf("it ended before the way answered: %+v", probed)
	case <-time.After(20 * time.Millisecond):
	}
	close(way)
	if probed := <-done; !probed.Findings[0].Failed || probed.Findings[1].Failed {
		t.Errorf("found %+v", probed)
	}
}

func TestLateAnswerIsReported(t *testing.T) {
	door := make(chan struct{})
	probed, late := run(t.Context(), trial{
		checks: []check{answering(Host, true, door, open("accepted"))}, deadline: time.Millisecond, late: time.Minute,
	})
	if probed.Findings[0].Failed {
		t.Fatalf("found %+v", probed)
	}
	close(door)
	if finding, ok := <-late; !ok || !finding.Failed || finding.Kind != Host {
		t.Errorf("late: %+v, %v", finding, ok)
	}
	if _, ok := <-late; ok {
		t.Error("one door opened twice")
	}
}

func TestSkippedKindsAreNotTried(t *testing.T) {
	local := []func() []wire.Finding{func() []wire.Finding { return []wire.Finding{{Kind: User}, {Kind: Device}} }}
	probed, _ := run(t.Context(), trial{
		checks: []check{answering(Host, true, never, open(""))}, local: local, skip: []string{Host, Device}, deadline: time.Millisecond,
	})
	if len(probed.Findings) != 1 || probed.Findings[0].Kind != User {
		t.Errorf("found %+v", probed)
	}
	if probed.Findings[0].Took <= 0 {
		t.Error("nothing says how long it took")
	}
}

func TestJudge(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		open bool
	}{
		"refused":      {syscall.ECONNREFUSED, true},
		"reset":        {syscall.ECONNRESET, true},
		"no route":     {syscall.ENETUNREACH, false},
		"no host":      {syscall.EHOSTUNREACH, false},
		"no address":   {syscall.EADDRNOTAVAIL, false},
		"no family":    {syscall.EAFNOSUPPORT, false},
		"forbidden":    {syscall.EPERM, false},
		"silence":      {context.DeadlineExceeded, false},
		"retries over": {syscall.ETIMEDOUT, false},
	} {
		for _, err := range []error{test.err, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", test.err)}} {
			if got := judge(err); got.failed != test.open {
				t.Errorf("%s: %+v", name, got)
			}
		}
	}
}

// TestDoorsSeeAnOpenOne: each way of knocking sees a canary, and a port that
// only says that nobody listens; but of a gateway, which may be reached, that
// is a closed one.
func TestDoorsSeeAnOpenOne(t *testing.T) {
	canary, err := Listen(t.Context(), netip.MustParseAddr("127.0.0.1"), "word")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), canary.Port())
	knock := func(kind string) wire.Probed {
		probed, _ := run(t.Context(), trial{
			checks: doors([]wire.Door{{Kind: kind, Address: at}}, "word"), deadline: time.Second,
		})
		return probed
	}
	for _, kind := range []string{Host, GatewayPort} {
		if probed := knock(kind); len(probed.Findings) != 2 || !probed.Findings[0].Failed || !probed.Findings[1].Failed {
			t.Errorf("%s: a canary is not seen: %+v", kind, probed)
		}
	}
	if err := canary.Close(); err != nil {
		t.Fatal(err)
	}
	if probed := knock(Host); !probed.Findings[0].Failed || !probed.Findings[1].Failed {
		t.Errorf("a host that answers is not seen: %+v", probed)
	}
	if probed := knock(GatewayPort); probed.Findings[0].Failed || probed.Findings[1].Failed {
		t.Errorf("a closed port of the gateway's is open: %+v", probed)
	}
}

func TestHostsAreHeardOnEveryAddress(t *testing.T) {
	hosts, err := OpenHosts(t.Context(), "word")
	if err != nil {
		t.Fatal(err)
	}
	doors, err := hosts.Doors()
	if err != nil || len(doors) == 0 {
		t.Skipf("the host has no address: %v", err)
	}
	if control := hosts.Control(t.Context(), doors); control.Failed {
		t.Errorf("control: %+v", control)
	}
	four := slices.IndexFunc(doors, func(d wire.Door) bool { return d.Address.Addr().Is4() })
	if four >= 0 {
		if err := Hear(t.Context(), doors[four].Address, "word"); err != nil {
			t.Error(err)
		}
		if err := Hear(t.Context(), doors[four].Address, "another"); err == nil {
			t.Error("any word will do")
		}
	}
	if err := hosts.Close(); err != nil {
		t.Fatal(err)
	}
	if control := hosts.Control(t.Context(), doors); !control.Failed {
		t.Errorf("a canary that is gone is heard: %+v", control)
	}
}

func TestNamesFor(t *testing.T) {
	refused := refusedName("word")
	names := func(allowed string, port int, refused, plain, tls string) wire.Names {
		return wire.Names{Allowed: allowed, AllowedPort: port, Refused: refused, AllowedHTTP: plain, AllowedTLS: tls}
	}
	for name, test := range map[string]struct {
		allow []string
		rules []policy.Rule
		want  wire.Names
	}{
		"nothing": {want: wire.Names{Refused: refused}},
		"a name": {
			allow: []string{"api.example.net"},
			want:  names("api.example.net", 443, refused, "api.example.net", "api.example.net"),
		},
		"its port": {
			allow: []string{"db.example.net:5432"},
			want:  wire.Names{Allowed: "db.example.net", AllowedPort: 5432, Refused: refused},
		},
		"a port each": {
			allow: []string{"b.example.net:80", "c.example.net:443"},
			want:  names("b.example.net", 80, refused, "b.example.net", "c.example.net"),
		},
		"names below": {
			allow: []string{"*.example.net"},
			want:  names("word.example.net", 443, refused, "word.example.net", "word.example.net"),
		},
		"an address first": {
			allow: []string{"192.0.2.7", "api.example.net"},
			want:  names("api.example.net", 443, refused, "api.example.net", "api.example.net"),
		},
		"all that is unreal": {
			allow: []string{"*.invalid"},
			want:  names("word.invalid", 443, "", "word.invalid", "word.invalid"),
		},
		"its root is denied": {
			allow: []string{"api.example.net"},
			rules: []policy.Rule{{Host: "api.example.net", Methods: []string{"GET"}, Deny: true}},
			want:  wire.Names{Allowed: "api.example.net", AllowedPort: 443, Refused: refused, AllowedTLS: "api.example.net"},
		},
	} {
		egress := policy.Egress{Rules: test.rules}
		for _, host := range test.allow {
			egress.Allow = append(egress.Allow, policy.Allow{Host: host})
		}
		if got := NamesFor(egress, "word"); got != test.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestNameServers(t *testing.T) {
	for text, want := range map[string][]string{
		"":                       nil,
		"nameserver 127.0.0.1\n": {"127.0.0.1"},
		"search example.net\n nameserver\t192.0.2.1 \n#nameserver 192.0.2.2\nnameserver 192.0.2.3": {"192.0.2.1", "192.0.2.3"},
	} {
		if got := nameServers(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q", text, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	v := Verdict{Took: 14 * time.Millisecond}
	v.Add(wire.Finding{Kind: Host, Target: "a"}, wire.Finding{Kind: Program, Target: "sh", Failed: true, Code: 127})
	if err := v.Err(); err != nil || v.Summary() != "2 checks, all closed, but sh cannot be run (14 ms)" {
		t.Errorf("%q, %v", v.Summary(), err)
	}
	for range 5 {
		v.Add(wire.Finding{Kind: Host, Target: "198.51.100.1:1 tcp", Detail: "connection accepted", Failed: true})
	}
	err := v.Err()
	var failure *Failure
	if !errors.As(err, &failure) || len(failure.Findings) != 5 || hint.Of(err) == "" || !strings.HasSuffix(err.Error(), ", and 2 more") {
		t.Errorf("%v, hint %q", err, hint.Of(err))
	}
}

// TestEveryKindIsExplained: what a check means and what to do, for each.
func TestEveryKindIsExplained(t *testing.T) {
	for kind := range meanings {
		if remedies[kind] == "" && kind != Program {
			t.Errorf("nothing says what to do about %q", kind)
		}
	}
	for kind := range remedies {
		if meanings[kind] == "" {
			t.Errorf("nothing says what %q means", kind)
		}
	}
}

// TestEverybody: the host's canary counts what is for everybody, and tells it
// from what is for it alone; a bottle without a network that can send at all
// is open.
func TestEverybody(t *testing.T) {
	hosts, err := OpenHosts(t.Context(), "word")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = hosts.Close() }()
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), hosts.Port())
	if err := Hear(t.Context(), at, "word"); err != nil {
		t.Fatal(err)
	}
	if found := hosts.Overheard(false); found.Failed || found.Warned {
		t.Errorf("nothing was for everybody: %+v", found)
	}
	for _, alone := range []bool{true, false} {
		for _, c := range sendings(wire.Probe{Word: "word", Alone: alone, Everybody: []netip.AddrPort{at}}) {
			if got := c.try(t.Context()); got.failed != alone {
				t.Errorf("alone %v: %+v", alone, got)
			}
		}
	}
	for hosts.canary.overheard.Load() < 2 {
		if err := Hear(t.Context(), at, "word"); err != nil { // it answers in turn
			t.Fatal(err)
		}
	}
	if found := hosts.Overheard(false); !found.Failed || found.Warned || found.Kind != Broadcast {
		t.Errorf("what came: %+v", found)
	}
	if found := hosts.Overheard(true); found.Failed || !found.Warned {
		t.Errorf("what came, as the plan said: %+v", found)
	}
	v := Verdict{Findings: []wire.Finding{{Kind: Host}, hosts.Overheard(true)}}
	if err := v.Err(); err != nil || v.Summary() != "2 checks, all closed but 1 that the plan warned of (0 ms)" {
		t.Errorf("%q, %v", v.Summary(), err)
	}
}
