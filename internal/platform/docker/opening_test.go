package docker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
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
	"claude-bottle/internal/probe"
)

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

// gatewaysTogether lets gateways reach each other.
func gatewaysTogether(e *engine) {
	e.breach.network = func(call string, options *client.NetworkCreateOptions) {
		if call == "egress-create" {
			options.Options["com.docker.network.bridge.enable_icc"] = "true"
		}
	}
}

// onEgress puts the agent on the gateways' network too, once that is there.
func onEgress(_ *testing.T, b *bench, e *engine) {
	gatewaysTogether(e)
	e.breach.start = func(ctx context.Context, call, id string) error {
		again := time.NewTicker(10 * time.Millisecond)
		defer again.Stop()
		for call == "agent-start" {
			found, err := e.egressNetworks(ctx, ownerOf(os.Getuid(), b.store.Root()))
			if err == nil && len(found) > 0 {
				_, err = e.NetworkConnect(ctx, found[0].ID, client.NetworkConnectOptions{
					Container: id, EndpointConfig: &network.EndpointSettings{},
				})
				return err
			}
			if err != nil {
				return err
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
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
	unmaskedOnly(options)
}

func unmaskedOnly(options *client.ContainerCreateOptions) {
	options.HostConfig.MaskedPaths, options.HostConfig.ReadonlyPaths = []string{}, []string{}
}

// withoutFilter takes the engine's.
func withoutFilter(options *client.ContainerCreateOptions) {
	options.HostConfig.SecurityOpt = append(options.HostConfig.SecurityOpt, "seccomp=unconfined")
}

// newPrivileges lets a container gain new ones.
func newPrivileges(options *client.ContainerCreateOptions) { options.HostConfig.SecurityOpt = nil }

// allCapabilities drops none.
func allCapabilities(options *client.ContainerCreateOptions) { options.HostConfig.CapDrop = nil }

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
	serveNames(t, e, &server)
}

// onNetworkWithNames gives a bottle that should have no network one of the
// engine's, whose name server forwards to one of ours.
func onNetworkWithNames(t *testing.T, b *bench, e *engine) {
	made := b.userNetwork(t, e, client.NetworkCreateOptions{})
	server := made.IPAM.Config[0].Gateway
	onAgent(func(options *client.ContainerCreateOptions) {
		options.HostConfig.NetworkMode, options.HostConfig.DNS = container.NetworkMode(made.Name), []netip.Addr{server}
	})(t, b, e)
	serveNames(t, e, &server)
}

// serveNames serves names at an address that is there when the agent starts, and
// no longer at that of the launch before.
func serveNames(t *testing.T, e *engine, server *netip.Addr) {
	var serving []io.Closer
	stop := func() {
		for _, one := range serving {
			_ = one.Close()
		}
		serving = nil
	}
	t.Cleanup(stop)
	e.breach.start = func(ctx context.Context, call, _ string) error {
		if call != "agent-start" {
			return nil
		}
		stop()
		at := netip.AddrPortFrom(*server, 53).String()
		packets, err := new(net.ListenConfig).ListenPacket(ctx, "udp", at)
		if err != nil {
			return err
		}
		serving = append(serving, packets)
		streams, err := new(net.ListenConfig).Listen(ctx, "tcp", at)
		if err != nil {
			return err
		}
		serving = append(serving, streams)
		go answerPackets(packets)
		go answerStreams(streams)
		return nil
	}
}

func answerPackets(conn net.PacketConn) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if err != nil {
			return
		}
		if answer := noSuchName(buffer[:n]); answer != nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// answerStreams answers one question a connection (RFC 1035, 4.2.2).
func answerStreams(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		size := make([]byte, 2)
		_, _ = io.ReadFull(conn, size)
		question := make([]byte, binary.BigEndian.Uint16(size))
		_, _ = io.ReadFull(conn, question)
		if answer := noSuchName(question); answer != nil {
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)) //nolint:gosec // G115: a short name
		}
		_ = conn.Close()
	}
}

// noSuchName says of every name that it does not exist.
func noSuchName(question []byte) []byte {
	var message dnsmessage.Message
	if message.Unpack(question) != nil {
		return nil
	}
	message.Response, message.RCode, message.Additionals = true, dnsmessage.RCodeNameError, nil
	answer, err := message.Pack()
	if err != nil {
		return nil
	}
	return answer
}

// withNameServer gives the bottle a resolv.conf that names another.
func withNameServer(t *testing.T, b *bench, e *engine) {
	file := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(file, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	onAgent(func(options *client.ContainerCreateOptions) {
		for i, m := range options.HostConfig.Mounts {
			if m.Target == "/etc/resolv.conf" {
				options.HostConfig.Mounts[i].Source = file
			}
		}
	})(t, b, e)
}

// onGatewaysNetwork gives a bottle that should have no network the gateways'.
func onGatewaysNetwork(t *testing.T, b *bench, e *engine) {
	onAgent(onDefaultBridge)(t, b, e) // one that has none cannot be connected to another
	onEgress(t, b, e)
}

// onDefaultBridge gives a bottle that should have no network the engine's own.
func onDefaultBridge(options *client.ContainerCreateOptions) {
	options.HostConfig.NetworkMode = "bridge"
}

// onNetworkOfBoth gives the agent a network of the engine's that has IPv6 too,
// beside its own or in place of none.
func onNetworkOfBoth(alone bool) func(*testing.T, *bench, *engine) {
	return func(t *testing.T, b *bench, e *engine) {
		if !kernelHasIPv6() {
			t.Skip("cannot be opened: the kernel has no IPv6")
		}
		on := true
		made := b.userNetwork(t, e, client.NetworkCreateOptions{EnableIPv6: &on, IPAM: &network.IPAM{
			Config: []network.IPAMConfig{{Subnet: freeIPv6()}},
		}})
		onAgent(func(options *client.ContainerCreateOptions) {
			delete(options.HostConfig.Sysctls, "net.ipv6.conf.all.disable_ipv6")
			delete(options.HostConfig.Sysctls, "net.ipv6.conf.default.disable_ipv6")
			if alone {
				options.HostConfig.NetworkMode = container.NetworkMode(made.Name)
			}
		})(t, b, e)
		e.breach.start = func(ctx context.Context, call, id string) error {
			if alone || call != "agent-start" {
				return nil
			}
			_, err := e.NetworkConnect(ctx, made.ID, client.NetworkConnectOptions{Container: id, EndpointConfig: &network.EndpointSettings{}})
			return err
		}
	}
}

// freeIPv6 is a range of unique local addresses (RFC 4193).
func freeIPv6() netip.Prefix {
	address := [16]byte{0xfd}
	_, _ = rand.Read(address[1:8])
	return netip.PrefixFrom(netip.AddrFrom16(address), 64)
}

// userNetwork is a network as people make them, gone with the test.
func (b *bench) userNetwork(t *testing.T, e *engine, options client.NetworkCreateOptions) network.Inspect {
	t.Helper()
	made, err := e.NetworkCreate(t.Context(), "claude-bottle-test-"+strings.ToLower(rand.Text()), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := e.NetworkRemove(context.Background(), made.ID, client.NetworkRemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
	found, err := e.NetworkInspect(t.Context(), made.ID, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return found.Network
}

// takesBroadcast has the probe find what the plan did not warn of, on a host
// that does not ask where packets come from.
func takesBroadcast(t *testing.T, _ *bench, _ *engine) {
	if !sourcesUnchecked() {
		t.Skip("cannot be opened: this host asks where packets come from (rp_filter), and that is its owner's to change")
	}
}

// muteHost ends the host's canary before anybody asks for it.
func muteHost(_ *testing.T, _ *bench, e *engine) {
	e.breach.hosts = func(hosts *probe.Hosts) { _ = hosts.Close() }
}
