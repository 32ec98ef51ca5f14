package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	testengine "claude-bottle/test/engine"
)

func asksForPipelock(spec *bottle.Spec, seen *observed) {
	spec.Gateway = bottle.Pipelock
	spec.Egress = policy.Egress{
		Allow: []policy.Allow{{Host: "API.example.com"}, {Host: "*.example.net"}, {Host: "example.net"}},
		Rules: []policy.Rule{{Host: "docs.example.com"}},
	}
	seen.Pipelock = pipelockSeen{ID: "sha256:2222", Entrypoint: []string{"/pipelock"}}
}

// TestPipelockCannot: what it would do less well, or otherwise, is refused by
// name.
func TestPipelockCannot(t *testing.T) {
	for want, change := range map[string]func(*bottle.Spec, *observed){
		"GET":                  func(s *bottle.Spec, _ *observed) { s.Egress.Rules[0].Methods = []string{"GET"} },
		"/a/**":                func(s *bottle.Spec, _ *observed) { s.Egress.Rules[0].Paths = []string{"/a/**"} },
		"deny":                 func(s *bottle.Spec, _ *observed) { s.Egress.Rules[0].Deny = true },
		"tcp":                  func(s *bottle.Spec, _ *observed) { s.Egress.Rules[0].TCP, s.Egress.Rules[0].Port = true, 5432 },
		"docs.example.com:81":  func(s *bottle.Spec, _ *observed) { s.Egress.Rules[0].Port = 81 },
		"it knows names alone": func(s *bottle.Spec, _ *observed) { s.Egress.Rules[0].Budget = 1 },
		"scan.canary":          func(s *bottle.Spec, _ *observed) { s.Canary = true },
		"scan":                 func(s *bottle.Spec, _ *observed) { s.Egress.Scan.Mode = policy.ScanWarn },
		"inspect: always":      func(s *bottle.Spec, _ *observed) { s.Egress.Inspect = policy.InspectAlways },
		"unlisted: ask":        func(s *bottle.Spec, _ *observed) { s.Egress.Unlisted = policy.Ask },
		"brokered secret KEY":  func(s *bottle.Spec, _ *observed) { s.Egress.Secrets = []policy.Secret{{Name: "KEY"}} },
		"egress.budget":        func(s *bottle.Spec, _ *observed) { s.Egress.Budget = 1 },
		"egress.proxy":         func(s *bottle.Spec, _ *observed) { s.Egress.Proxy = "http://proxy.example:3128" },
		"it would allow example.net too": func(s *bottle.Spec, _ *observed) {
			s.Egress.Allow = []policy.Allow{{Host: "*.example.net"}}
		},
		"looks at no port": func(s *bottle.Spec, _ *observed) { s.Egress.Allow[0].Host = "api.example.com:8443" },
		"203.0.113.9 (it":  func(s *bottle.Spec, _ *observed) { s.Egress.Allow[0].Host = "203.0.113.9" },
		"is not in the engine": func(_ *bottle.Spec, seen *observed) {
			seen.Pipelock.ID = ""
		},
		"has no entry point": func(_ *bottle.Spec, seen *observed) { seen.Pipelock.Entrypoint = nil },
		"which is no port":   func(_ *bottle.Spec, seen *observed) { seen.Settings.PipelockPort = "65536" },
	} {
		spec, seen := planSpec(), planObserved()
		asksForPipelock(&spec, &seen)
		change(&spec, &seen)
		if _, err := plan(spec, seen); err == nil || !strings.Contains(err.Error(), want) || hint.Of(err) == "" {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// importPipelock makes an image of the stand-in, with arguments by which it is
// wrong.
func (b *bench) importPipelock(t *testing.T, wrong ...string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pipelock")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "claude-bottle/test/pipelock")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := errors.Join(tarFile(w, "pipelock", data, 0o755), w.Close()); err != nil {
		t.Fatal(err)
	}
	e, err := connectTo(t.Context(), endpoint{Host: b.api.DaemonHost()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	name := "claude-bottle-test-pipelock:" + strings.ToLower(rand.Text())
	entry := `ENTRYPOINT ["/pipelock"`
	for _, arg := range wrong {
		entry += fmt.Sprintf(", %q", arg)
	}
	if _, err := e.importImage(t.Context(), &layer, name, []string{entry + "]"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := b.api.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true}); err != nil {
			t.Error(err)
		}
	})
	b.env["CLAUDE_BOTTLE_PIPELOCK_IMAGE"] = name
}

// upstream is a server that the engine's containers reach, at the engine's own
// bridge, which is on no wire.
func (b *bench) upstream(t *testing.T) netip.AddrPort {
	t.Helper()
	bridge, err := b.api.NetworkInspect(t.Context(), "bridge", client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(bridge.Network.IPAM.Config[0].Gateway, 0)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", at.String())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s", r.Host)
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return netip.MustParseAddrPort(listener.Addr().String())
}

func (b *bench) pipelockSpec(isolation bottle.Isolation, at netip.Addr) bottle.Spec {
	spec := b.spec()
	spec.Isolation, spec.Gateway = isolation, bottle.Pipelock
	spec.Egress = policy.Egress{
		Allow:   []policy.Allow{{Host: "upstream.example"}},
		Private: []netip.Prefix{netip.PrefixFrom(at, 32)},
		Resolve: map[string]netip.Addr{"upstream.example": at, "other.example": at},
	}
	return spec
}

// TestPipelock: the stand-in gets its configuration, the bottle's requests go
// by it and are decided by it, and by nobody else.
func TestPipelock(t *testing.T) {
	for _, isolation := range []bottle.Isolation{bottle.Runc, bottle.Runsc} {
		t.Run(string(isolation), func(t *testing.T) {
			if isolation == bottle.Runsc {
				testengine.NeedGvisor(t)
			}
			b := newBench(t)
			b.nothingLeft(t)
			b.importPipelock(t)
			b.env["CLAUDE_BOTTLE_PIPELOCK_PORT"] = "9999"
			at := b.upstream(t)
			i := b.launch(t, b.pipelockSpec(isolation, at.Addr()))

			if got := sh(t, i, `echo $https_proxy`); !strings.HasSuffix(got, ":9999") {
				t.Errorf("the proxy is %s", got)
			}
			get := func(host string) string {
				return sh(t, i, fmt.Sprintf(`wget -q -O - http://%s:%d/ 2>&1 || true`, host, at.Port()))
			}
			if got, want := get("upstream.example"), fmt.Sprintf("hello upstream.example:%d", at.Port()); got != want {
				t.Errorf("allowed: %q", got)
			}
			if got := get("other.example"); !strings.Contains(got, "403") {
				t.Errorf("refused: %q", got)
			}
			if got := sh(t, i, `unset http_proxy HTTP_PROXY; nslookup upstream.example >/dev/null 2>&1 && echo answered || echo nobody`); got != "nobody" {
				t.Errorf("names: %q", got)
			}
			if _, err := i.Control(t.Context()); err == nil || !strings.Contains(err.Error(), "pipelock") {
				t.Errorf("control: %v", err)
			}
			opened, err := b.platform(t).Open(t.Context(), i.Run())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := opened.Control(t.Context()); err == nil || !strings.Contains(err.Error(), "pipelock") {
				t.Errorf("control of one that was opened: %v", err)
			}
			b.pipelockRecord(t, i)
		})
	}
}

// pipelockRecord holds the isolation in the record, and what the program said.
func (b *bench) pipelockRecord(t *testing.T, i *instance) {
	t.Helper()
	record := filepath.Join(b.store.Dir(i.Run()), bottle.RecordDir)
	var events []audit.Event
	_, err := audit.Read(filepath.Join(record, "egress.jsonl"), func(e audit.Event) error {
		events = append(events, e)
		return nil
	})
	if err != nil || len(events) == 0 || events[0].Kind != audit.Isolation {
		t.Errorf("%v, %v", events, err)
	}
	for _, e := range events[1:] {
		if e.Kind != policy.DNS || e.Host != "upstream.example" || e.Decision != audit.Denied || e.Rule != "pipelock" {
			t.Errorf("%+v", e)
		}
	}
	said, err := os.ReadFile(filepath.Join(record, "pipelock.log"))
	if err != nil || !strings.Contains(string(said), "blocked other.example") {
		t.Errorf("%s, %v", said, err)
	}
}

// TestPipelockThatIsWrong: its words are in the error, the probe finds what it
// leaves open, and nothing is left.
func TestPipelockThatIsWrong(t *testing.T) {
	for arg, want := range map[string]string{
		"-refuse":     "refused to start, as the test wants it",
		"-everywhere": "the gateway can be reached where it must not listen",
		"-open":       "the gateway's proxy does not work: CONNECT to a refused name",
	} {
		t.Run(arg[1:], func(t *testing.T) {
			b := newBench(t)
			b.nothingLeft(t)
			b.importPipelock(t, arg)
			p := b.platform(t)
			plan, err := p.Prepare(t.Context(), b.pipelockSpec(bottle.Runc, netip.MustParseAddr("203.0.113.9")))
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Launch(t.Context(), plan, environ.Secrets{})
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error %v", err)
			}
			var failure *probe.Failure
			if arg != "-refuse" && !errors.As(err, &failure) {
				t.Errorf("error %v is not the probe's", err)
			}
			b.noRuns(t)
		})
	}
}

// TestPipelockThatDies takes the bottle with it.
func TestPipelockThatDies(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	b.importPipelock(t)
	i := b.launch(t, b.pipelockSpec(bottle.Runc, netip.MustParseAddr("203.0.113.9")))
	top, err := b.api.ContainerTop(t.Context(), i.gatewayID, client.ContainerTopOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, process := range top.Processes {
		if strings.HasPrefix(process[len(process)-1], "/pipelock ") {
			if err := exec.CommandContext(t.Context(), "kill", "-KILL", process[1]).Run(); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-i.Lost()
	if err := i.Err(); !strings.Contains(err.Error(), "pipelock ended: signal: killed") {
		t.Error(err)
	}
}

// TestPipelockEndsWithItsLauncher: with the stream that booted its parent.
func TestPipelockEndsWithItsLauncher(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	b.importPipelock(t)
	i := b.launch(t, b.pipelockSpec(bottle.Runc, netip.MustParseAddr("203.0.113.9")))
	ended := b.api.ContainerWait(t.Context(), i.made.Gateway, client.ContainerWaitOptions{Condition: container.WaitConditionNotRunning})
	if err := i.made.gateway.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended.Result:
	case err := <-ended.Error:
		t.Error(err)
	case <-time.After(time.Minute):
		t.Error("its container runs on")
	}
}
