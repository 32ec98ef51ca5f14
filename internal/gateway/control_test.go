package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// controlled gives a gateway under test a control stream.
func controlled(t *testing.T, f *fixture) option {
	return func(s *server) {
		dir, err := os.MkdirTemp("", "ctl") // a path that a socket can have
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		f.socket = filepath.Join(dir, "s")
		if s.desk, err = s.openDesk(f.socket, os.Getuid()); err != nil {
			t.Fatal(err)
		}
	}
}

// startControlled is start, with a control stream.
func startControlled(t *testing.T, w *world, e policy.Egress, opts ...option) *fixture {
	t.Helper()
	f := &fixture{t: t, record: filepath.Join(t.TempDir(), "record")}
	f.run(w, e, append([]option{controlled(t, f)}, opts...)...)
	return f
}

// control opens one conversation.
func (f *fixture) control() *wire.ControlClient {
	f.t.Helper()
	conn, err := connect(f.t, "unix", f.socket)
	if err != nil {
		f.t.Fatal(err)
	}
	client := wire.NewControlClient(conn)
	f.t.Cleanup(func() { client.Close() })
	return client
}

// tunnelTo opens a CONNECT tunnel in which TLS has begun, and that echoes.
func (f *fixture) tunnelTo(host string) (net.Conn, error) {
	f.t.Helper()
	conn := dial(f.t, f.proxy)
	_, _ = io.WriteString(conn, "CONNECT "+host+":443 HTTP/1.1\r\nHost: "+host+":443\r\n\r\n")
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil {
		return conn, err
	}
	if string(answer) != "HTTP/1.1 200" {
		return conn, errors.New(string(answer))
	}
	if _, err := io.ReadFull(conn, make([]byte, len(" Connection established\r\n\r\n"))); err != nil {
		return conn, err
	}
	hello := buildHello(f.t, host)
	_, _ = conn.Write(hello)
	_, err := io.ReadFull(conn, make([]byte, len(hello)))
	return conn, err
}

// echoing is a host that sends back what it gets.
func echoing(t *testing.T, w *world, hosts ...string) {
	t.Helper()
	at := listen(t, func(conn net.Conn) { _, _ = io.Copy(conn, conn) })
	for _, host := range hosts {
		w.host(host, 443, at)
	}
}

// open says whether a tunnel still carries.
func open(t *testing.T, conn net.Conn) bool {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.WriteString(conn, "ping"); err != nil {
		return false
	}
	_, err := io.ReadFull(conn, make([]byte, 4))
	return err == nil
}

// A rule that a person adds holds at once and for its time; then what it let
// through is cut, and nothing else is. The record says who and when.
func TestLiveChange(t *testing.T) {
	w := newWorld()
	echoing(t, w, "a.example", "b.example")
	f := startControlled(t, w, allow("a.example"))
	kept, err := f.tunnelTo("a.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.tunnelTo("b.example"); err == nil {
		t.Fatal("b.example was not refused")
	}
	if _, err := f.control().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: "b.example"}, For: 300 * time.Millisecond, Who: "jane"}); err != nil {
		t.Fatal(err)
	}
	granted, err := f.tunnelTo("b.example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(granted); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the tunnel outlives the rule's time")
	}
	if !open(t, kept) {
		t.Error("another tunnel was cut")
	}
	if _, err := f.tunnelTo("b.example"); err == nil {
		t.Error("the rule outlives its time")
	}
	added := f.eventually("the change", func(e audit.Event) bool { return e.Kind == audit.Change })
	if added.Host != "b.example" || !strings.Contains(added.Reason, "jane") || !strings.Contains(added.Reason, "300ms") || added.Time.IsZero() {
		t.Errorf("%+v", added)
	}
	f.eventually("the change back", func(e audit.Event) bool { return strings.Contains(e.Reason, "taken back") })
	f.eventually("the cut", func(e audit.Event) bool {
		return e.Phase == audit.Close && e.Host == "b.example" && e.Decision == audit.Denied && strings.Contains(e.Reason, "cut by a change")
	})
}

// A rule that this gateway could not hold to, since it sees into no TLS, is
// refused in words.
func TestRuleThatCannotBeSeen(t *testing.T) {
	f := startControlled(t, newWorld(), allow("a.example"))
	_, err := f.control().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: "b.example", Port: 443, Methods: []string{"GET"}}, Who: "jane"})
	if err == nil || !strings.Contains(err.Error(), "put it into the manifest and start again") {
		t.Errorf("%v", err)
	}
}

// A policy that takes the first one's place cuts what it does not allow, by
// name and by address, and leaves alone what a person added.
func TestReplace(t *testing.T) {
	w := newWorld()
	echoing(t, w, "a.example", "b.example", "c.example", "private.example")
	w.names["private.example"] = append(w.names["private.example"][:0], addr("10.0.0.1"))
	w.routes["10.0.0.1:443"] = w.routes["93.184.216.1:443"]
	before := allow("a.example", "b.example", "private.example")
	before.Private = prefixes("10.0.0.0/8")
	f := startControlled(t, w, before)
	if _, err := f.control().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: "c.example"}, Who: "jane"}); err != nil {
		t.Fatal(err)
	}
	tunnels := map[string]net.Conn{}
	for _, host := range []string{"a.example", "b.example", "c.example", "private.example"} {
		conn, err := f.tunnelTo(host)
		if err != nil {
			t.Fatalf("%s: %v", host, err)
		}
		tunnels[host] = conn
	}
	changed, err := f.control().Replace(t.Context(), wire.Replace{Policy: allow("a.example", "private.example"), Who: "jane", Why: "the manifest"})
	if err != nil || changed.Cut != 2 {
		t.Errorf("%+v, %v", changed, err)
	}
	for host, want := range map[string]bool{"a.example": true, "b.example": false, "c.example": true, "private.example": false} {
		if got := open(t, tunnels[host]); got != want {
			t.Errorf("%s: open %v, want %v", host, got, want)
		}
	}
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: allow("https://x")}); err == nil {
		t.Error("a policy that is none is taken")
	}
	if !open(t, tunnels["a.example"]) {
		t.Error("a refused change cut something")
	}
}

// What is looked for is what it was at the start: another policy that allows
// other values is refused, where it would be taken and do nothing.
func TestReplaceKeepsWhatIsLookedFor(t *testing.T) {
	w := newWorld()
	before := allow("a.example")
	before.Scan.Allowed = []string{hashOf("an example")}
	f := startControlled(t, w, before)
	after := allow("a.example", "b.example")
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: after}); err == nil || !strings.Contains(err.Error(), "start again") {
		t.Errorf("other values: %v", err)
	}
	after.Scan = before.Scan
	after.Scan.Mode = policy.ScanBlock
	if _, err := f.control().Replace(t.Context(), wire.Replace{Policy: after}); err != nil {
		t.Errorf("the same values: %v", err)
	}
}

// A change that cannot be recorded is not made.
func TestChangeNeedsTheRecord(t *testing.T) {
	w := newWorld()
	echoing(t, w, "b.example")
	f := startControlled(t, w, allow("a.example"))
	if err := f.server.journal.writer.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.control().Allow(t.Context(), wire.Allow{Rule: policy.Rule{Host: "b.example"}, Who: "jane"}); err == nil {
		t.Error("it was made")
	}
	if d := f.server.policy().Decide(policy.Request{Kind: policy.Connect, Host: "b.example", Port: 443}); d.Allow {
		t.Error("it holds")
	}
}

// Only one uid may speak, whatever it says is bounded, and nobody waits for
// another.
func TestControlIsForOneUID(t *testing.T) {
	w := newWorld()
	f := &fixture{t: t, record: filepath.Join(t.TempDir(), "record")}
	f.run(w, allow("a.example"), controlled(t, f), func(s *server) { s.desk.uid = os.Getuid() + 1 })
	conn, err := connect(t, "unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("another uid was told %d bytes, %v", n, err)
	}
	if info, err := os.Stat(f.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestControlFrames(t *testing.T) {
	f := startControlled(t, newWorld(), allow("a.example"))
	for name, raw := range map[string]string{
		"garbage":        "GET / HTTP/1.1\r\n\r\n",
		"a boot frame":   "\x04\x00\x00\x00\x02{}",
		"an answer":      "\x29\x00\x00\x00\x02{}",
		"no JSON":        "\x20\x00\x00\x00\x01{",
		"too long":       "\x20\xff\xff\xff\xff",
		"negative time":  "\x20\x00\x00\x00\x0a{\"for\":-1}",
		"nothing at all": "",
	} {
		conn, err := connect(t, "unix", f.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.WriteString(conn, raw)
		_ = conn.(*net.UnixConn).CloseWrite()
		if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: %v", name, err)
		}
		conn.Close()
	}
	var crowd []net.Conn
	for range maxControls + 1 {
		conn, err := connect(t, "unix", f.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		crowd = append(crowd, conn)
	}
	last := crowd[maxControls]
	_ = last.SetDeadline(time.Now().Add(5 * time.Second))
	if b, _ := io.ReadAll(last); !strings.Contains(string(b), "end one first") {
		t.Errorf("one too many: %q", b)
	}
}

// Who sees that a conversation has ended may begin the next one, however many
// others are open.
func TestControlPlacesAreFreeInTime(t *testing.T) {
	f := startControlled(t, newWorld(), allow("a.example"))
	for range maxControls - 1 {
		conn, err := connect(t, "unix", f.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for n := range 200 {
		conn, err := connect(t, "unix", f.socket)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		_ = conn.(*net.UnixConn).CloseWrite()
		said, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || len(said) > 0 {
			t.Fatalf("conversation %d: %q, %v", n, said, err)
		}
	}
}

// Who says nothing, or half of something, is let go: others come to speak.
func TestControlWaitsForNobody(t *testing.T) {
	w := newWorld()
	f := &fixture{t: t, record: filepath.Join(t.TempDir(), "record")}
	f.run(w, allow("a.example"), controlled(t, f), func(s *server) { s.desk.asks = 50 * time.Millisecond })
	for i := range maxControls {
		conn, err := connect(t, "unix", f.socket)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(conn, "\x20\x00\x00")
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.ReadAll(conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("conversation %d goes on: %v", i, err)
		}
	}
	if counters, err := f.control().Counters(t.Context()); err != nil || counters == "" {
		t.Errorf("who asks: %v, %v", counters, err)
	}
}

// The counters are there, in Prometheus' format, and not for the bottle.
func TestCounters(t *testing.T) {
	w := newWorld()
	w.host("a.example", 80, originServer(t, echo))
	f := startControlled(t, w, allow("a.example"))
	say(t, f.proxy, "GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")
	say(t, f.proxy, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	f.eventually("the end", func(e audit.Event) bool { return e.Phase == audit.Close })
	text, err := f.control().Counters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`claude_bottle_gateway_decisions_total{kind="http",decision="allow"} 1` + "\n",
		`claude_bottle_gateway_decisions_total{kind="http",decision="deny"} 1` + "\n",
		`claude_bottle_gateway_added_seconds_count{kind="http"} 2` + "\n",
		`claude_bottle_gateway_added_seconds_bucket{kind="http",le="+Inf"} 2` + "\n",
		`# TYPE claude_bottle_gateway_added_seconds histogram` + "\n",
		`claude_bottle_gateway_connections{side="world"} `,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if err := exposes(text); err != nil {
		t.Errorf("not in the text format: %v\n%s", err, text)
	}
	for name, wrong := range map[string]string{
		"no type":             strings.Replace(text, "# TYPE claude_bottle_gateway_passages gauge\n", "", 1),
		"a family twice":      text + "# HELP claude_bottle_gateway_passages x\n# TYPE claude_bottle_gateway_passages gauge\nclaude_bottle_gateway_passages 0\n",
		"a sample twice":      strings.Replace(text, "claude_bottle_gateway_passages 0\n", "claude_bottle_gateway_passages 0\nclaude_bottle_gateway_passages 0\n", 1),
		"no last bucket":      regexp.MustCompile(`(?m)^.*le="\+Inf".*\n`).ReplaceAllString(text, ""),
		"buckets that shrink": regexp.MustCompile(`(?m)(le="1"}) .*$`).ReplaceAllString(text, "$1 0"),
		"no end":              strings.TrimSuffix(text, "\n"),
	} {
		if exposes(wrong) == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestCountersAreNotOnTheBottlesSide(t *testing.T) {
	f := startControlled(t, newWorld(), allow("a.example"))
	for _, address := range []string{f.proxy, f.http, f.tls, f.dnsTCP} {
		for _, raw := range []string{
			"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "GET http://127.0.0.1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
			"\x23\x00\x00\x00\x02{}",
		} {
			if got := say(t, address, raw); strings.Contains(got, "claude_bottle_gateway_") {
				t.Errorf("%q is answered %q", raw, got)
			}
		}
	}
}

// The record can be followed over the control stream.
func TestFollowOverControl(t *testing.T) {
	f := startControlled(t, newWorld(), allow("a.example"))
	say(t, f.proxy, "GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n")
	ctx, cancel := context.WithCancel(t.Context())
	seen := 0
	err := f.control().Follow(ctx, func(line json.RawMessage) error {
		var e audit.Event
		if err := json.Unmarshal(line, &e); err != nil {
			return err
		}
		if seen++; seen == 1 && e.Host == "evil.example" {
			say(t, f.proxy, "GET http://late.example/ HTTP/1.1\r\nHost: late.example\r\n\r\n")
		}
		if e.Host == "late.example" {
			cancel()
		}
		return nil
	})
	if err != nil || seen != 2 {
		t.Errorf("%d lines, %v", seen, err)
	}
}
