package docker

import (
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/test/variant"
)

// Why a door cannot be opened.
const (
	noProgram  = "a bottle whose harness is missing is launched, and the exec says so"
	handedOver = "but for the sockets that were handed over, the gateway's are in another network namespace"
	hostSays   = "with a network it may be sent: the host's canary says whether it came"

	// By gVisor.
	noCall     = "its kernel has none, and says so in the filter's words"
	ownKernel  = "the files are those of the sandbox's own kernel"
	noDevices  = "the sandbox passes no device node on"
	noMemory   = "its kernel opens a process's memory to nobody else"
	noSockets  = "it passes no socket of the host's on"
	noResolver = "it does not reach the engine's name server"
)

// networkDoors are those of a bottle's network.
var networkDoors = map[string]door{
	"the host has an address on the network": {open: hostOnBridge, want: []string{
		"host: HOST tcp", "host: HOST udp", "far side: HOST tcp", "far side: HOST udp",
		"broadcast: datagrams to everybody, at the host",
	}, plan: func(plan *bottle.Plan) { plan.Docker.Broadcast = false }},
	"another network": {open: onEgress, want: []string{
		"network: no address but the bottle's", "host: HOST tcp", "host: HOST udp", "egress leg: HOST tcp", "egress leg: HOST udp",
	}},
	"IPv6":                     {open: onNetworkOfBoth(false), want: []string{"network: no IPv6", "host: HOST6 tcp", "host: HOST6 udp"}},
	"another bottle's network": {open: onNeighbour, want: []string{"neighbour: HOST tcp", "network: no address but the bottle's"}},
	"the engine asks elsewhere": {
		open: anotherNameServer, want: []string{"resolver: 127.0.0.11 udp", "resolver: 127.0.0.11 tcp"},
		sealed: noResolver,
	},
	"the host hears what is for everybody": {
		open: takesBroadcast, want: []string{"broadcast: datagrams to everybody, at the host"},
		plan: func(plan *bottle.Plan) { plan.Docker.Broadcast = false },
	},
	"the gateway serves more": {variant: variant.CanaryEverywhere, want: []string{"gateway port: HOST tcp", "gateway port: HOST udp"}},
}

// loneDoors are those of a bottle without a network.
var loneDoors = map[string]door{
	"a network": {open: onAgent(onDefaultBridge), want: []string{
		"network: no interface but loopback", "network: no address but the bottle's", "far side: no route",
		"host: HOST tcp", "host: HOST udp",
		"broadcast: 255.255.255.255 udp", "broadcast: 224.0.0.1 udp", "broadcast: datagrams to everybody, at the host",
	}},
	"IPv6":                  {open: onNetworkOfBoth(true), want: []string{"network: no IPv6", "host: HOST6 tcp", "host: HOST6 udp"}},
	"the gateways' network": {open: onGatewaysNetwork, want: []string{"egress leg: HOST tcp", "egress leg: HOST udp"}},
	"the engine's names":    {open: onNetworkWithNames, want: []string{"resolver: 127.0.0.11 udp", "resolver: 127.0.0.11 tcp"}},
	"the kernel's files": {open: onAgent(unmaskedOnly), want: []string{
		"setting: files that set the host", "setting: files that show the host",
	}},
}

// rootDoors are of a guest or a gateway that is root: without a network the
// one does not get to hand its listeners to the other
// (TestHandoverIsOfTheAgentsUser).
var rootDoors = map[string]door{
	"the gateway is root": {open: onGateway(asRoot), want: []string{"user: of the gateway"}},
	"root":                {open: onAgent(asRoot), want: []string{"user: uid N, gid N and no other"}},
	"the kernel's files": {open: onAgent(unmasked), want: []string{
		"setting: files that set the host",
	}, sealed: ownKernel},
	"a root's rights": {variant: variant.GuestUnfiltered, open: onAgent(func(o *client.ContainerCreateOptions) {
		asRoot(o)
		allCapabilities(o)
		o.HostConfig.CapAdd = append(o.HostConfig.CapAdd, "SYSLOG")
	}), want: []string{"device: making a node", "call: the kernel's log"}},
}

// doors are those of every bottle.
var doors = map[string]door{
	"gateways reach each other": {open: besideAnotherGateway, want: []string{"neighbour: HOST tcp"}},
	"capabilities":              {open: onAgent(allCapabilities), want: []string{"capabilities: none, in no set"}},
	"privileged": {
		open: onAgent(func(o *client.ContainerCreateOptions) { o.HostConfig.Privileged = true }),
		want: []string{"capabilities: none, in no set"},
	},
	"another group": {
		open: onAgent(func(o *client.ContainerCreateOptions) { o.HostConfig.GroupAdd = []string{"999"} }),
		want: []string{"user: uid N, gid N and no other"},
	},
	"the engine's filter is gone": {open: onAgent(withoutFilter), want: []string{"filter: seccomp"}, sealed: "it has none of the engine's"},
	"the guest's filter is gone":  {variant: variant.GuestUnfiltered, want: []string{"filter: seccomp"}},
	"every filter is gone":        {variant: variant.GuestUnfiltered, open: onAgent(withoutFilter), want: []string{"filter: seccomp"}},
	"new privileges":              {variant: variant.GuestUnfiltered, open: onAgent(newPrivileges), want: []string{"privileges: no new ones"}},
	"the guest can be read": {
		variant: variant.GuestDumpable, want: []string{"memory: memory of the guest"},
		sealed: noMemory,
	},
	"a device":            {open: withDevice, want: []string{"device: nodes in /dev"}, sealed: noDevices},
	"an engine's socket":  {open: withSocket, want: []string{"socket: sockets of engines"}, sealed: noSockets},
	"another name server": {open: withNameServer, want: []string{"plain: HTTP to an allowed name", "plain: TLS to an allowed name"}},
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

// gatewayDoors are those of the gateway, which the agent's runtime does not
// change.
var gatewayDoors = map[string]door{
	"the gateway listens everywhere": {variant: variant.GatewayEverywhere, want: []string{
		"gateway port: HOST tcp", "gateway port: HOST udp", "gateway port: the gateway's listeners",
	}},
	"the gateway forwards": {
		open: onGateway(func(o *client.ContainerCreateOptions) { o.HostConfig.Sysctls["net.ipv4.ip_forward"] = "1" }),
		want: []string{"forwarding: packets between the gateway's legs"},
	},
	"the gateway has capabilities": {open: onGateway(allCapabilities), want: []string{"capabilities: of the gateway"}},
	"the gateway's root": {
		open: onGateway(func(o *client.ContainerCreateOptions) { o.HostConfig.ReadonlyRootfs = false }),
		want: []string{"setting: the gateway's root"},
	},
	"the gateway is not hardened": {variant: variant.GatewayBare, open: onGateway(newPrivileges), want: []string{
		"memory: memory of the gateway", "filter: of the gateway", "privileges: of the gateway",
	}},
	"the gateway allows everything":  {variant: variant.GatewayAllows, want: refusing},
	"the gateway refuses everything": {variant: variant.GatewayRefuses, want: allowing},
	"the gateway is deaf":            {variant: variant.GatewayDeaf, want: append(allowing, refusing...)},
	"no canary of the gateway's sings": {variant: variant.CanaryMute, want: []string{
		"control: the gateway's canary on HOST", "control: the gateway's canary on HOST, to itself",
	}},
	"no canary of the host's sings": {open: muteHost, want: []string{"control: the host's canary"}},
}

// What cannot be opened, and why.
var (
	sealedAlone = map[string]string{
		"program: sh":                  noProgram,
		"gateway port: 127.0.0.77 tcp": handedOver,
		"gateway port: 127.0.0.77 udp": handedOver,
	}
	sealedBridged = map[string]string{"program: sh": noProgram}
	sealedGvisor  = map[string]string{
		"program: sh":                       noProgram,
		"setting: files that show the host": ownKernel,
		"device: nodes in /dev":             noDevices,
		"memory: memory of the guest":       noMemory,
		"socket: sockets of engines":        noSockets,
		"resolver: 127.0.0.11 udp":          noResolver,
		"resolver: 127.0.0.11 tcp":          noResolver,
		"broadcast: 255.255.255.255 udp":    hostSays,
		"broadcast: 224.0.0.1 udp":          hostSays,

		"call: I/O ports":                       noCall,
		"call: calls that no program needs yet": noCall,
		"call: io_uring":                        noCall,
		"call: kernel modules":                  noCall,
		"call: kexec, reboot":                   noCall,
		"call: setting the clock":               noCall,
		"call: where pages of memory are":       noCall,
	}
)
