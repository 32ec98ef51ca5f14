package docker

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
	testengine "claude-bottle/test/engine"
)

// door is a way to open a bottle on purpose, and what the probe must say.
type door struct {
	open func(t *testing.T, b *bench, e *engine)
	// variant changes our program; nil for none.
	variant variant
	want    []string // kinds of findings
	// sealed says why gVisor does not let the door be opened.
	sealed string
	// plan changes what is launched; nil for nothing.
	plan func(plan *bottle.Plan)
}

// TestDoors opens every door that a launch checks, one in each launch: it
// fails, says which, and is undone.
func TestDoors(t *testing.T) {
	programs := newWorkshop(t)
	each := func(name string, tables []map[string]door, runtime bottle.Isolation, bridged bool) {
		t.Run(name, func(t *testing.T) {
			if runtime == bottle.Runsc {
				testengine.NeedGvisor(t)
			}
			for _, table := range tables {
				for name, d := range table {
					t.Run(name, func(t *testing.T) {
						if runtime == bottle.Runsc && d.sealed != "" {
							t.Skipf("cannot be opened: %s", d.sealed)
						}
						t.Parallel()
						expectOpen(t, d, programs, runtime, bridged)
					})
				}
			}
		})
	}
	each("runc", []map[string]door{doors, loneDoors}, bottle.Runc, false)
	each("runsc", []map[string]door{doors, rootDoors, networkDoors}, bottle.Runsc, false)
	each("another runtime", []map[string]door{rootDoors, networkDoors}, bottle.Runc, true)
	each("gateway", []map[string]door{gatewayDoors}, bottle.Runc, false)
}

// expectOpen launches with a door open; bridged gives a bottle on runc the
// network of one whose runtime is unknown.
func expectOpen(t *testing.T, d door, programs *workshop, runtime bottle.Isolation, bridged bool) {
	t.Helper()
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	if d.variant != nil {
		p.config.Binary = programs.build(t, d.variant)
	}
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d.open != nil {
		d.open(t, b, e)
	}
	spec := b.spec()
	spec.Isolation = runtime
	spec.Egress = policy.Egress{Allow: []policy.Allow{{Host: "allowed.example"}}}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		t.Fatal(err)
	}
	if bridged {
		b.bridged(t, &plan)
	}
	if d.plan != nil {
		d.plan(&plan)
	}
	launched, err := p.Launch(ctx, plan, environ.Secrets{})
	if err == nil {
		_ = launched.Close()
		t.Fatal("the bottle is open, and was launched")
	}
	var failure *probe.Failure
	if !errors.As(err, &failure) || hint.Of(err) == "" {
		t.Fatalf("launch: %v, hint %q", err, hint.Of(err))
	}
	t.Log(err)
	for _, kind := range d.want {
		if !slices.ContainsFunc(failure.Findings, func(f wire.Finding) bool { return f.Kind == kind }) {
			t.Errorf("nothing about %q in: %v", kind, err)
		}
	}
	if left, err := b.store.List(); err != nil || slices.ContainsFunc(left, func(i runs.Info) bool { return i.ID == plan.Run }) {
		t.Errorf("the launch was not undone: %+v, %v", left, err)
	}
}

// TestHandoverIsOfTheAgentsUser: from a guest that is somebody else, be it
// root, a gateway takes no listener, and the launch is undone.
func TestHandoverIsOfTheAgentsUser(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	e, err := p.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	onAgent(asRoot)(t, b, e)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	launched, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err == nil {
		_ = launched.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "the peer has uid 0") {
		t.Errorf("launch: %v", err)
	}
}

// onAgent changes the agent's container, onGateway the gateway's.
func onAgent(change func(*client.ContainerCreateOptions)) func(*testing.T, *bench, *engine) {
	return onContainer("agent-create", change)
}

func onGateway(change func(*client.ContainerCreateOptions)) func(*testing.T, *bench, *engine) {
	return onContainer("gateway-create", change)
}

func onContainer(call string, change func(*client.ContainerCreateOptions)) func(*testing.T, *bench, *engine) {
	return func(_ *testing.T, _ *bench, e *engine) {
		e.breach.container = func(made string, options *client.ContainerCreateOptions) {
			if made == call {
				change(options)
			}
		}
	}
}

// asRoot also lets it into the directories that are the agent's, as which it
// must start.
func asRoot(options *client.ContainerCreateOptions) {
	options.Config.User = "0:0"
	options.HostConfig.CapAdd = []string{"DAC_OVERRIDE"}
}

// hostOnBridge gives the host an address on the bottle's network.
func hostOnBridge(_ *testing.T, _ *bench, e *engine) {
	e.breach.network = func(call string, options *client.NetworkCreateOptions) {
		if call == "network-create" {
			clear(options.Options)
		}
	}
}

// withIPv6 gives the bottle's network a range of IPv6 too.
func withIPv6(_ *testing.T, _ *bench, e *engine) {
	on := true
	e.breach.network = func(call string, options *client.NetworkCreateOptions) {
		if call == "network-create" {
			options.EnableIPv6 = &on
			options.IPAM.Config = append(options.IPAM.Config, network.IPAMConfig{Subnet: netip.MustParsePrefix("fdcb:7e57::/64")})
		}
	}
	e.breach.container = func(_ string, options *client.ContainerCreateOptions) {
		delete(options.HostConfig.Sysctls, "net.ipv6.conf.all.disable_ipv6")
		delete(options.HostConfig.Sysctls, "net.ipv6.conf.default.disable_ipv6")
	}
}

// gatewaysTogether lets gateways reach each other.
func gatewaysTogether(e *engine) {
	e.breach.network = func(call string, options *client.NetworkCreateOptions) {
		if call == "egress-create" {
			options.Options["com.docker.network.bridge.enable_icc"] = "true"
		}
	}
}

// onEgress puts the agent on the gateways' network too.
func onEgress(_ *testing.T, b *bench, e *engine) {
	gatewaysTogether(e)
	e.breach.start = func(ctx context.Context, call, id string) error {
		if call != "agent-start" {
			return nil
		}
		found, err := e.egressNetworks(ctx, ownerOf(os.Getuid(), b.store.Root()))
		if err != nil || len(found) == 0 {
			return errors.Join(err, errors.New("there is no egress network yet"))
		}
		_, err = e.NetworkConnect(ctx, found[0].ID, client.NetworkConnectOptions{
			Container: id, EndpointConfig: &network.EndpointSettings{},
		})
		return err
	}
}

// onNeighbour puts the agent on the network of another bottle that runs.
func onNeighbour(t *testing.T, b *bench, e *engine) {
	spec := b.spec()
	spec.Isolation = bottle.Runc
	plan, err := b.platform(t).Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	b.bridged(t, &plan)
	launched, err := b.platform(t).Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = launched.Close() })
	other := launched.(*instance)
	e.breach.start = func(ctx context.Context, call, id string) error {
		if call != "agent-start" {
			return nil
		}
		_, err := e.NetworkConnect(ctx, other.made.Network, client.NetworkConnectOptions{
			Container: id, EndpointConfig: &network.EndpointSettings{},
		})
		return err
	}
}

// besideAnotherGateway launches a bottle whose gateway others reach.
func besideAnotherGateway(t *testing.T, b *bench, e *engine) {
	gatewaysTogether(e)
	spec := b.spec()
	spec.Isolation = bottle.Runc
	p := b.platform(t)
	p.engines[""], p.engines[e.endpoint.Host] = e, e
	plan, err := p.Prepare(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	other, err := p.Launch(t.Context(), plan, environ.Secrets{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
}

// anotherNameServer is one on the bottle's network that the engine forwards
// to.
func anotherNameServer(t *testing.T, b *bench, e *engine) {
	hostOnBridge(t, b, e)
	var server netip.Addr
	e.breach.container = func(call string, options *client.ContainerCreateOptions) {
		if call == "agent-create" {
			server = options.HostConfig.DNS[0].Prev() // the address that the host gets
			options.HostConfig.DNS = []netip.Addr{server}
		}
	}
	e.breach.start = func(ctx context.Context, call, _ string) error {
		if call != "agent-start" {
			return nil
		}
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", netip.AddrPortFrom(server, 53).String())
		if err != nil {
			return err
		}
		t.Cleanup(func() { _ = conn.Close() })
		go answerAll(conn)
		return nil
	}
}

// answerAll says of every name that it does not exist.
func answerAll(conn net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		var message dnsmessage.Message
		if message.Unpack(buffer[:n]) != nil {
			continue
		}
		message.Response, message.RCode, message.Additionals = true, dnsmessage.RCodeNameError, nil
		if answer, err := message.Pack(); err == nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// withDevice gives the agent a node that is not every bottle's.
func withDevice(t *testing.T, _ *bench, e *engine) {
	node := filepath.Join(t.TempDir(), "odd")
	if err := unix.Mknod(node, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 8))); err != nil {
		t.Skip(err)
	}
	if err := os.Chmod(node, 0o666); err != nil {
		t.Fatal(err)
	}
	onAgent(func(options *client.ContainerCreateOptions) {
		options.HostConfig.Devices = []container.DeviceMapping{{PathOnHost: node, PathInContainer: "/dev/odd", CgroupPermissions: "rwm"}}
	})(t, nil, e)
}

// withSocket mounts the socket of an engine.
func withSocket(t *testing.T, _ *bench, e *engine) {
	path := filepath.Join(shortTemp(t), "engine.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	onAgent(func(options *client.ContainerCreateOptions) {
		options.HostConfig.Mounts = append(options.HostConfig.Mounts, mount.Mount{
			Type: mount.TypeBind, Source: path, Target: "/run/docker.sock",
		})
	})(t, nil, e)
}

// unmasked takes away what hides and protects the kernel's files.
func unmasked(options *client.ContainerCreateOptions) {
	asRoot(options)
	options.HostConfig.MaskedPaths, options.HostConfig.ReadonlyPaths = []string{}, []string{}
}

const (
	ownKernel = "the files are those of the sandbox's own kernel"
	noDevices = "the sandbox passes no device node on"
)

// takesBroadcast has the probe find what the plan did not warn of, on a host
// that does not ask where packets come from.
func takesBroadcast(t *testing.T, _ *bench, _ *engine) {
	if !sourcesUnchecked() {
		t.Skip("cannot be opened: this host asks where packets come from (rp_filter), and that is its owner's to change")
	}
}

// onDefaultBridge gives a bottle that should have no network the engine's own.
func onDefaultBridge(options *client.ContainerCreateOptions) {
	options.HostConfig.NetworkMode = "bridge"
}

// networkDoors are those of a bottle's network.
var networkDoors = map[string]door{
	"the host has an address on the network": {open: hostOnBridge, want: []string{probe.Host, probe.FarSide}},
	"another network":                        {open: onEgress, want: []string{probe.Network, probe.Host, probe.EgressLeg}},
	"IPv6":                                   {open: withIPv6, want: []string{probe.Network}},
	"another bottle's network":               {open: onNeighbour, want: []string{probe.Neighbour, probe.Network}},
	"the engine asks elsewhere":              {open: anotherNameServer, want: []string{probe.Resolver}, sealed: "it does not reach the engine's name server"},
	"the host hears what is for everybody": {
		open: takesBroadcast, want: []string{probe.Broadcast}, plan: func(plan *bottle.Plan) { plan.Docker.Broadcast = false },
	},
}

// loneDoors are those of a bottle without a network.
var loneDoors = map[string]door{
	"a network": {open: onAgent(onDefaultBridge), want: []string{probe.Network, probe.FarSide, probe.Host, probe.Broadcast}},
}

// rootDoors are of a guest or a gateway that is root: without a network the
// one does not get to hand its listeners to the other
// (TestHandoverIsOfTheAgentsUser).
var rootDoors = map[string]door{
	"the gateway is root": {open: onGateway(asRoot), want: []string{probe.User}},
	"root":                {open: onAgent(asRoot), want: []string{probe.User}},
	"the kernel's files":  {open: onAgent(unmasked), want: []string{probe.Setting}, sealed: ownKernel},
	"making devices": {variant: guestWithoutFilter, open: onAgent(func(o *client.ContainerCreateOptions) {
		asRoot(o)
		o.HostConfig.CapDrop = nil
	}), want: []string{probe.Device}},
}

// doors are those of every bottle.
var doors = map[string]door{
	"gateways reach each other":   {open: besideAnotherGateway, want: []string{probe.Neighbour}},
	"capabilities":                {open: onAgent(func(o *client.ContainerCreateOptions) { o.HostConfig.CapDrop = nil }), want: []string{probe.Capabilities}},
	"privileged":                  {open: onAgent(func(o *client.ContainerCreateOptions) { o.HostConfig.Privileged = true }), want: []string{probe.Capabilities}},
	"another group":               {open: onAgent(func(o *client.ContainerCreateOptions) { o.HostConfig.GroupAdd = []string{"999"} }), want: []string{probe.User}},
	"the engine's filter is gone": {open: onAgent(withoutFilter), want: []string{probe.Filter}, sealed: "it has none of the engine's"},
	"the guest's filter is gone":  {variant: guestWithoutFilter, want: []string{probe.Filter, probe.Call}},
	"new privileges": {
		variant: guestWithoutFilter, open: onAgent(func(o *client.ContainerCreateOptions) { o.HostConfig.SecurityOpt = nil }),
		want: []string{probe.Privileges},
	},
	"the guest can be read": {variant: guestDumpable, want: []string{probe.Memory}, sealed: "its kernel opens a process's memory to nobody else"},
	"a device":              {open: withDevice, want: []string{probe.Device}, sealed: noDevices},
	"an engine's socket":    {open: withSocket, want: []string{probe.EngineSocket}, sealed: "it passes no socket of the host's on"},
}

// gatewayDoors are those of the gateway, which the agent's runtime does not
// change.
var gatewayDoors = map[string]door{
	"the gateway listens everywhere": {variant: gatewayEverywhere, want: []string{probe.GatewayPort}},
	"the gateway forwards":           {open: onGateway(func(o *client.ContainerCreateOptions) { o.HostConfig.Sysctls["net.ipv4.ip_forward"] = "1" }), want: []string{probe.Forwarding}},
	"the gateway has capabilities":   {open: onGateway(func(o *client.ContainerCreateOptions) { o.HostConfig.CapDrop = nil }), want: []string{probe.Capabilities}},
	"the gateway's root":             {open: onGateway(func(o *client.ContainerCreateOptions) { o.HostConfig.ReadonlyRootfs = false }), want: []string{probe.Setting}},
	"the gateway is not hardened":    {variant: gatewayBare, want: []string{probe.Memory, probe.Filter}},
	"the gateway allows everything":  {variant: gatewayAllows, want: []string{probe.Proxy, probe.Names, probe.Plain}},
	"the gateway is deaf":            {variant: gatewayDeaf, want: []string{probe.Proxy, probe.Names, probe.Plain}},
	"no canary sings":                {variant: canaryMute, want: []string{probe.Control}},
}

func withoutFilter(options *client.ContainerCreateOptions) {
	options.HostConfig.SecurityOpt = append(options.HostConfig.SecurityOpt, "seccomp=unconfined")
}

// variant is our program with pieces of its source replaced, file by file.
type variant []replacement

type replacement struct{ file, old, with string }

var (
	guestWithoutFilter = variant{{
		"internal/guest/guest.go", "err := confine.Bottle().Apply(); err != nil",
		"err := error(nil); err != nil && confine.Bottle().Name != \"\"",
	}}
	guestDumpable     = variant{{"internal/guest/harden.go", "unix.PR_SET_DUMPABLE, 0,", "unix.PR_SET_DUMPABLE, 1,"}}
	gatewayEverywhere = variant{{
		"internal/gateway/handed.go", "set, err := door.Receive(",
		"everywhere, _ := listenConfig().Listen(ctx, \"tcp\", \":3128\"); context.AfterFunc(ctx, func() { everywhere.Close() }); set, err := door.Receive(",
	}}
	gatewayBare = variant{
		{"internal/gateway/harden_linux.go", "unix.PR_SET_DUMPABLE, 0,", "unix.PR_SET_DUMPABLE, 1,"},
		{"internal/gateway/harden_linux.go", "return confine.Gateway().Apply()", "_ = confine.Gateway; return nil"},
	}
	gatewayAllows = variant{{
		"internal/policy/decide.go", "func (p *Policy) Decide(r Request) Decision {",
		"func (p *Policy) Decide(r Request) Decision {\n\tif true { return Decision{Allow: true, Host: r.Host} }",
	}}
	gatewayDeaf = variant{
		{"internal/gateway/server.go", "s.clients.Go(func() {", "conn.Close(); continue; s.clients.Go(func() {"},
		{"internal/gateway/dns.go", "if answer := d.answer(ctx, message); answer != nil {", "if answer := d.answer(ctx, message); answer != nil && false {"},
	}
	canaryMute = variant{{"internal/probe/canary.go", "_, _ = conn.Write(c.word)", "_ = c.word"}}
)
