package docker

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/handover"
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
	// What the launcher writes, the agent reads, however strict the launcher is.
	before := unix.Umask(0o077)
	i := b.launch(t, b.spec())
	unix.Umask(before)
	address := handover.Address()
	for name, leg := range b.inspect(t, i.made.Gateway).NetworkSettings.Networks {
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
	if len(tries) < 2 {
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
