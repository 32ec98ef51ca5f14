package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/wire"
)

// TestContainers holds what the engine was asked for to the design: the
// hardening of both containers, as the engine reports it.
func TestContainers(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	spec.Limits = bottle.Limits{Memory: 256 << 20, CPUs: 1.5, PIDs: 200}
	i := b.launch(t, spec)
	for role, id := range map[string]string{roleAgent: i.made.Agent, roleGateway: i.made.Gateway} {
		c := b.inspect(t, id)
		host := c.HostConfig
		for what, ok := range map[string]bool{
			"drops all capabilities": len(host.CapDrop) == 1 && host.CapDrop[0] == "CAP_ALL" || host.CapDrop[0] == "ALL",
			"adds none":              len(host.CapAdd) == 0,
			"no new privileges":      strings.Contains(strings.Join(host.SecurityOpt, " "), "no-new-privileges"),
			"not privileged":         !host.Privileged,
			"no log":                 host.LogConfig.Type == "none",
			"is not restarted":       host.RestartPolicy.Name == "no",
			"is not auto-removed":    !host.AutoRemove,
			"is not root":            c.Config.User == fmt.Sprintf("%d:%d", spec.UID, spec.GID),
			"no secret or setting":   len(c.Config.Env) <= 1, // the image's PATH
			"no core files":          len(host.Ulimits) == 1 && host.Ulimits[0].Name == "core" && host.Ulimits[0].Hard == 0,
			"paths stay masked":      len(host.MaskedPaths) > 5 && len(host.ReadonlyPaths) > 2,
			"labelled":               c.Config.Labels[labelRun] == string(i.Run()) && c.Config.Labels[labelRole] == role,
			"no IPv6":                host.Sysctls["net.ipv6.conf.all.disable_ipv6"] == "1" || !kernelHasIPv6(),
		} {
			if !ok {
				t.Errorf("%s: not %q", role, what)
			}
		}
	}
	agent, gateway := b.inspect(t, i.made.Agent).HostConfig, b.inspect(t, i.made.Gateway).HostConfig
	if agent.Memory != 256<<20 || agent.MemorySwap != agent.Memory || agent.NanoCPUs != 1_500_000_000 || *agent.PidsLimit != 200 {
		t.Errorf("the agent's limits: %+v", agent.Resources)
	}
	if !gateway.ReadonlyRootfs || gateway.Memory == 0 || gateway.Sysctls["net.ipv4.ip_forward"] != "0" {
		t.Errorf("the gateway: read-only %v, memory %d, sysctls %v", gateway.ReadonlyRootfs, gateway.Memory, gateway.Sysctls)
	}
	if got := sh(t, i, "ulimit -c; cat /proc/sys/net/ipv6/conf/all/disable_ipv6 2>/dev/null || echo 1; grep -E 'NoNewPrivs|CapBnd|CapEff' /proc/self/status | cut -f 2"); got != "0\n1\n0000000000000000\n0000000000000000\n1" {
		t.Errorf("inside: %q", got)
	}
}

func (b *bench) inspect(t testing.TB, id string) container.InspectResponse {
	t.Helper()
	result, err := b.api.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return result.Container
}

// TestNetworkFiles: names are resolved by the gateway alone.
func TestNetworkFiles(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	i := b.launch(t, b.spec())
	gateway := b.inspect(t, i.made.Gateway).NetworkSettings.Networks
	var address netip.Addr
	for name, leg := range gateway {
		if strings.HasSuffix(name, ".network") {
			address = leg.IPAddress
		}
	}
	want := fmt.Sprintf("nameserver %s", address)
	if got := sh(t, i, "cat /etc/resolv.conf"); got != want {
		t.Errorf("resolv.conf: %q, want %q", got, want)
	}
	if got := sh(t, i, "echo $HTTP_PROXY $https_proxy"); got != fmt.Sprintf("http://%[1]s:3128 http://%[1]s:3128", address) {
		t.Errorf("proxies: %q, want those of %s", got, address)
	}
	for _, file := range []string{"/etc/resolv.conf", "/etc/hosts", "/etc/passwd", "/.claude-bottle/claude-bottle", "/.claude-bottle/nonce"} {
		if got := sh(t, i, "(echo x >> "+file+") 2>/dev/null && echo written || echo kept"); got != "kept" {
			t.Errorf("%s can be written to", file)
		}
	}
}

// TestHostIsUnreachable: what the host serves on each of its addresses, those
// of the engine's bridges included, cannot be had from inside.
func TestHostIsUnreachable(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	reached := make(chan string, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			reached <- conn.RemoteAddr().String()
			_ = conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	own, err := hostAddresses()
	if err != nil {
		t.Fatal(err)
	}
	var tries []string
	for _, address := range own {
		if address.Is4() && !address.IsLoopback() {
			tries = append(tries, address.String())
		}
	}
	// The address that the engine keeps for itself on the bottle's network.
	agent := b.inspect(t, i.made.Agent).NetworkSettings.Networks
	for _, leg := range agent {
		tries = append(tries, leg.IPAddress.Prev().Prev().String())
	}
	if len(tries) < 3 {
		t.Fatalf("the host has only %v", tries)
	}
	// Shown first that the listener answers on such an address at all.
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp4", net.JoinHostPort(tries[0], strconv.Itoa(port)))
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	<-reached
	for _, address := range tries {
		if got := sh(t, i, fmt.Sprintf("nc -w 1 %s %d </dev/null >/dev/null 2>&1 && echo open || echo closed", address, port)); got != "closed" {
			t.Errorf("%s is %s", address, got)
		}
	}
	select {
	case from := <-reached:
		t.Errorf("the host was reached from %s", from)
	default:
	}
}

// TestGatewayThatCannotStart: its own words are in the error, and nothing is
// left.
func TestGatewayThatCannotStart(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), b.spec())
	if err != nil {
		t.Fatal(err)
	}
	plan.Spec.Egress.Proxy = "nonsense://"
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "boot gateway") {
		t.Errorf("error %v", err)
	}
	b.noRuns(t)
}

// noRuns checks that the store holds no run.
func (b *bench) noRuns(t testing.TB) {
	t.Helper()
	if infos, err := b.store.List(); err != nil || len(infos) > 0 {
		t.Errorf("runs left: %v, %v", infos, err)
	}
}

// TestGatewayThatCrashes: a program that is no gateway.
func TestGatewayThatCrashes(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip(err)
	}
	p.config.Binary = filepath.Join(t.TempDir(), "claude-bottle")
	if err := os.WriteFile(p.config.Binary, busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	plan, err := p.Prepare(t.Context(), b.spec())
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "it ended before it was ready") && !strings.Contains(err.Error(), "applet not found") {
		t.Errorf("error %v", err)
	}
	if _, err := p.Prune(t.Context()); err != nil {
		t.Error(err)
	}
	b.noRuns(t)
}

// TestEgressNetworkVanishes: launches come and go at once, so that the last
// run of the moment removes what the next is about to use.
func TestEgressNetworkVanishes(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	var all sync.WaitGroup
	for range 3 {
		p := b.platform(t)
		all.Go(func() {
			for range 3 {
				if err := comeAndGo(p, spec); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func comeAndGo(p *Platform, spec bottle.Spec) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		return err
	}
	i, err := p.Launch(ctx, plan, environ.Secrets{})
	if err != nil {
		return err
	}
	exit, err := i.Exec(ctx, wire.Start{Argv: []string{"true"}}, wire.Streams{})
	if err == nil && exit.Code != 0 {
		err = fmt.Errorf("true: %+v", exit)
	}
	return errors.Join(err, i.Close())
}

// TestEgressNetworkRemoved takes the network away between its being found and
// the gateway's start.
func TestEgressNetworkRemoved(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	launching, err := bottle.Begin(b.store, plan, plan.Docker.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := p.newLaunch(e, launching, plan)
	defer func() {
		if err := l.remove(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	if err := l.prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := e.removeNetwork(t.Context(), l.parts.EgressID); err != nil {
		t.Fatal(err)
	}
	_, err = l.start(t.Context(), environ.Secrets{})
	if !errors.Is(err, errEgressGone) {
		t.Errorf("start after the network went: %v, want %v", err, errEgressGone)
	}
}

// TestSubnetTaken: somebody else takes the planned range first.
func TestSubnetTaken(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	first, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	plan.Run = b.store.Propose()
	second, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	if got, want := second.Name(), plan.Name+"-2"; got != want {
		t.Errorf("the second is called %s, want %s", got, want)
	}
	info, _, err := b.store.Load(second.Run())
	if err != nil || info.Name != second.Name() {
		t.Errorf("its ledger says %q, %v", info.Name, err)
	}
}

// TestDiskLimit: the bottle is stopped at its limit, and says why.
func TestDiskLimit(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	spec.Limits.Disk = 8 << 20
	i := b.launch(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := i.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", "dd if=/dev/zero of=$HOME/a bs=1M count=5; dd if=/dev/zero of=/tmp/a bs=1M count=5; sleep 1000"}}, wire.Streams{})
	if err == nil || !strings.Contains(err.Error(), "bytes of disk, its limit is 8388608") {
		t.Errorf("error %v", err)
	}
	select {
	case <-i.Lost():
	default:
		t.Error("the bottle is not lost")
	}
}

// TestBuildFails: the end of the build's output is in the error.
func TestBuildFails(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	delete(b.env, "CLAUDE_BOTTLE_IMAGE")
	b.env["CLAUDE_BOTTLE_BASE_IMAGE"] = tinyImage // it has no apt-get
	p := b.platform(t)
	plan, err := p.Prepare(t.Context(), b.spec())
	if err != nil {
		t.Fatal(err)
	}
	if !plan.Docker.Build {
		t.Fatal("the plan does not say that the image is built")
	}
	_, err = p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil || !strings.Contains(err.Error(), "build image claude-bottle:latest") ||
		!strings.Contains(err.Error(), "apt-get: not found") || hint.Of(err) == "" {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
	b.noRuns(t)
}

// TestDerivedImage: the project is in the image, and the run's own copy is
// mounted over it.
func TestDerivedImage(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	const derived = "claude-bottle-test-derived:1"
	t.Cleanup(func() {
		_, _ = b.api.ImageRemove(context.Background(), derived, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	project := t.TempDir()
	for name, text := range map[string]string{"file": "inside", "sub/other": "too"} {
		path := filepath.Join(project, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("file", filepath.Join(project, "link")); err != nil {
		t.Fatal(err)
	}
	b.env["CLAUDE_BOTTLE_DERIVED_IMAGE"] = derived
	spec := b.spec()
	spec.Isolation, spec.Cwd = bottle.Runc, project
	i := b.launch(t, spec)
	if got := sh(t, i, "cat link sub/other; touch new"); got != "insidetoo" {
		t.Errorf("the workspace: %q", got)
	}
	if got := b.inspect(t, i.made.Agent).Config.Image; !strings.HasPrefix(got, "sha256:") {
		t.Errorf("launched from %s", got)
	}
	if _, err := os.Stat(filepath.Join(b.store.Dir(i.Run()), bottle.WorkDir, "new")); err != nil {
		t.Errorf("the work is not in the run's directory: %v", err)
	}
	inspected, err := b.api.ImageInspect(t.Context(), derived)
	if err != nil {
		t.Fatal(err)
	}
	if inspected.Config.Labels[labelRecipe] != "" {
		t.Errorf("the derived image passes for the recipe's: %v", inspected.Config.Labels)
	}
}

// TestCancelledExecKeepsTheBottle: a process that is given up ends, and the
// boot stream goes on.
func TestCancelledExecKeepsTheBottle(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err := i.Exec(ctx, wire.Start{Argv: []string{"sleep", "1000"}}, wire.Streams{})
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
	}
	if got := sh(t, i, "ps | grep -c '[s]leep 1000' || true"); got != "0" {
		t.Errorf("%s of the processes are left", got)
	}
}

// TestPrune removes what an earlier version left, and nothing that is used.
func TestPrune(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	old := filepath.Join(b.store.Root(), "bin", strings.Repeat("0", 64))
	if err := os.MkdirAll(old, 0o755); err != nil {
		t.Fatal(err)
	}
	spec := b.spec()
	spec.Isolation = bottle.Runc
	i := b.launch(t, spec)
	removed, err := i.platform.Prune(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(removed, " "), old) {
		t.Errorf("removed %v, and not %s", removed, old)
	}
	if got := sh(t, i, "echo alive"); got != "alive" {
		t.Error(got)
	}
	if _, err := b.api.ImageInspect(t.Context(), b.inspect(t, i.made.Gateway).Image); err != nil {
		t.Errorf("the gateway's image: %v", err)
	}
}
