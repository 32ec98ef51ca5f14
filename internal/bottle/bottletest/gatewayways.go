package bottletest

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
	"claude-bottle/test/escape/attacks"
	"claude-bottle/test/escape/program"
)

// gatewayRows ask by each way that leads through a gateway.
func gatewayRows() []row {
	return []row{
		{"an allowed host answers by each way", allowedByEachWay},
		{"another host is refused by each way", refusedByEachWay},
		{"what was decided is in the record", decisionsAreRecorded},
	}
}

// origin is a host of the world, on an address of this machine that every
// gateway reaches.
type origin struct {
	address netip.Addr
	port    int
	word    string
}

func startOrigin(t *testing.T) origin {
	t.Helper()
	at := origin{address: ownAddress(t), word: "hello from an origin"}
	listener, err := net.Listen("tcp", netip.AddrPortFrom(at.address, 0).String()) //nolint:noctx // at once
	if err != nil {
		t.Fatal(err)
	}
	at.port = listener.Addr().(*net.TCPAddr).Port
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, at.word) // who asked is seen to get it
	})}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return at
}

// ownAddress is one of this machine's beside loopback, which in a gateway's
// container is another.
func ownAddress(t *testing.T) netip.Addr {
	t.Helper()
	list, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, address := range list {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil && prefix.Addr().Is4() && !prefix.Addr().IsLoopback() {
			return prefix.Addr()
		}
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// Names of a gateway's rows. Nobody listens for the second on the ports of the
// plain ways, which are no test's to take.
const (
	servedName   = "served.example"
	unservedName = "unserved.example"
	strangerName = "stranger.example"
)

// ask runs the program in a bottle whose policy allows the first two names.
func askWays(t *testing.T, s *suite, at origin, host string, port int) (bottle.Bottle, map[string]attacks.Way) {
	t.Helper()
	spec := s.spec()
	spec.Cwd = program.Project(t)
	spec.Egress = policy.Egress{
		Allow: []policy.Allow{
			{Host: net.JoinHostPort(servedName, strconv.Itoa(at.port))}, {Host: unservedName},
		},
		Resolve: map[string]netip.Addr{servedName: at.address, unservedName: at.address, strangerName: at.address},
		Private: []netip.Prefix{netip.PrefixFrom(at.address, at.address.BitLen())},
	}
	b := s.launch(t, spec)
	got := run(t, b, wire.Start{Argv: []string{"./escape", "ways", host, strconv.Itoa(port), at.word}, Dir: spec.Workspace}, nil)
	var ways map[string]attacks.Way
	if err := json.Unmarshal([]byte(got.stdout), &ways); err != nil || len(ways) < 6 {
		t.Fatalf("code %d, %v: %s%s", got.exit.Code, err, got.stdout, got.stderr)
	}
	return b, ways
}

// proxies are the ways that take a port; plain are those that have theirs.
var (
	proxies = []string{"absolute", "connect", "socks"}
	plain   = []string{"host", "sni", "dns"}
)

func allowedByEachWay(t *testing.T, s *suite) {
	at := startOrigin(t)
	_, ways := askWays(t, s, at, servedName, at.port)
	for _, name := range proxies {
		if way := ways[name]; !way.Open || !way.Heard {
			t.Errorf("%s: %+v", name, way)
		}
	}
	// Nobody is there by the plain ways: that is another answer than a refusal.
	_, ways = askWays(t, s, at, unservedName, 0)
	for _, name := range plain {
		if way := ways[name]; way.Refused {
			t.Errorf("%s: %+v", name, way)
		}
	}
}

func refusedByEachWay(t *testing.T, s *suite) {
	at := startOrigin(t)
	_, ways := askWays(t, s, at, strangerName, at.port)
	for _, name := range proxies {
		if way := ways[name]; way.Open || way.Heard || !way.Refused {
			t.Errorf("%s: %+v", name, way)
		}
	}
	_, ways = askWays(t, s, at, strangerName, 0)
	for _, name := range plain {
		if way := ways[name]; way.Open || way.Heard || !way.Refused {
			t.Errorf("%s: %+v", name, way)
		}
	}
}

func decisionsAreRecorded(t *testing.T, s *suite) {
	at := startOrigin(t)
	b, _ := askWays(t, s, at, servedName, at.port)
	run(t, b, wire.Start{Argv: []string{"./escape", "ways", strangerName, "0", at.word}, Dir: bottle.Workspace}, nil)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	kinds := map[audit.Outcome][]string{}
	path := filepath.Join(s.store.Dir(b.Run()), bottle.RecordDir, "egress.jsonl")
	bad, err := audit.Read(path, func(e audit.Event) error {
		if strings.HasSuffix(e.Host, ".example") {
			kinds[e.Decision] = append(kinds[e.Decision], string(e.Kind))
		}
		return nil
	})
	if err != nil || bad > 0 {
		t.Fatalf("%d bad lines, %v", bad, err)
	}
	for decision, want := range map[audit.Outcome][]string{
		audit.Allowed: {"http", "connect", "socks"}, audit.Denied: {"http", "connect", "socks", "tls", "dns"},
	} {
		for _, kind := range want {
			if !slices.Contains(kinds[decision], kind) {
				t.Errorf("no line says that %s was %s: %q", kind, decision, kinds[decision])
			}
		}
	}
}
