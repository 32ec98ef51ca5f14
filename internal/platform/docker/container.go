package docker

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/provision"
)

// Places inside the agent's container that are ours.
const (
	insideBinary = bottle.Program
	insideNonce  = "/.claude-bottle/nonce"
	// gatewayBinary is the same program in the gateway's image.
	gatewayBinary = "/claude-bottle"
	// insideHandover and gatewayHandover are one directory, which the agent's
	// container cannot write to.
	insideHandover  = "/.claude-bottle/handover"
	gatewayHandover = "/handover"
)

// Limits of a bottle whose manifest sets none.
const (
	defaultPIDs = 4096
	// shmSize is /dev/shm's: the engine's 64 MiB break browsers and databases
	// under test. It counts as memory.
	shmSize = 512 << 20
)

// Limits of the gateway's container.
const (
	gatewayMemory = 256 << 20
	gatewayPIDs   = 512
)

// paths are where the parts of a run are on the host.
type paths struct {
	Home, Work, Git, Record string
	Etc                     string // provision.Etc, and what the network needs
	Nonce                   string
	Handover                string
}

// parts are what a run's containers are made from beside the plan.
type parts struct {
	Names        names
	Addresses    addressing
	Paths        paths
	Program      platform.Program
	Image        string // id of what the agent's container runs
	GatewayImage string
	EgressID     string
}

// agentOptions describe the container that the agent works in. The guest is
// its init, its standard streams are the boot stream. No capability, no new
// privilege, no log (what an agent prints is the person's), no removal by the
// engine (we remove it, after its work is safe).
func agentOptions(plan bottle.Plan, b parts) client.ContainerCreateOptions {
	spec := plan.Spec
	labels := labels(plan, roleAgent)
	labels[labelBinary] = b.Program.Hash
	host := &container.HostConfig{
		Mounts:    agentMounts(plan, b),
		Sysctls:   map[string]string{},
		ShmSize:   shmSize,
		Runtime:   engineRuntime(plan),
		Resources: agentResources(spec.Limits),
	}
	maps.Copy(host.Sysctls, noIPv6(plan.Docker))
	var networking *network.NetworkingConfig
	if plan.Docker.Alone {
		host.NetworkMode = network.NetworkNone
		// The guest, who has no capability, opens ports 53, 80 and 443.
		host.Sysctls[unprivilegedPorts] = "0"
	} else {
		host.NetworkMode = container.NetworkMode(b.Names.Network)
		host.DNS = []netip.Addr{b.Addresses.Gateway}
		networking = onNetwork(b.Names.Network, b.Addresses.Agent)
	}
	harden(host)
	return client.ContainerCreateOptions{
		Name: b.Names.Agent,
		Config: &container.Config{
			Image: b.Image, User: userOf(spec), Labels: labels,
			Hostname:   spec.Slug,
			Entrypoint: append([]string{insideBinary}, platform.BoundsOf(spec).Args()...), Cmd: []string{},
			WorkingDir: spec.Workspace, StopSignal: "SIGTERM",
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
			AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: true,
		},
		HostConfig:       host,
		NetworkingConfig: networking,
	}
}

// unprivilegedPorts is the lowest port that anybody may listen on.
const unprivilegedPorts = "net.ipv4.ip_unprivileged_port_start"

// gatewayOptions describe the gateway's container. It is on the egress
// network; of a bottle with a network that is its second leg, connected before
// it starts.
func gatewayOptions(plan bottle.Plan, b parts) client.ContainerCreateOptions {
	labels := labels(plan, roleGateway)
	labels[labelBinary] = b.Program.Hash
	sysctls := map[string]string{"net.ipv4.ip_forward": "0"}
	maps.Copy(sysctls, noIPv6(plan.Docker))
	pids := int64(gatewayPIDs)
	host := &container.HostConfig{
		ReadonlyRootfs: true,
		Mounts: []mount.Mount{
			{Type: mount.TypeBind, Source: b.Paths.Record, Target: "/record"},
			readOnly(filepath.Join(b.Paths.Etc, "passwd"), "/etc/passwd"),
			readOnly(filepath.Join(b.Paths.Etc, "group"), "/etc/group"),
		},
		Sysctls:   sysctls,
		Resources: container.Resources{Memory: gatewayMemory, MemorySwap: gatewayMemory, PidsLimit: &pids, Ulimits: noCore()},
	}
	var networking *network.NetworkingConfig
	if plan.Docker.Alone {
		host.NetworkMode = container.NetworkMode(b.EgressID)
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeBind, Source: b.Paths.Handover, Target: gatewayHandover})
	} else {
		host.NetworkMode = container.NetworkMode(b.Names.Network)
		host.Sysctls[unprivilegedPorts] = "0"
		networking = onNetwork(b.Names.Network, b.Addresses.Gateway)
	}
	harden(host)
	config := &container.Config{
		Image: b.GatewayImage, User: userOf(plan.Spec), Labels: labels,
		Entrypoint: []string{gatewayBinary, "gateway", "run"}, Cmd: []string{},
		StopSignal:  "SIGTERM",
		Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		AttachStdin: true, AttachStdout: true, AttachStderr: true, OpenStdin: true, StdinOnce: true,
	}
	if plan.Docker.Pipelock != nil {
		asPipelock(plan, b, config, host)
	}
	return client.ContainerCreateOptions{
		Name: b.Names.Gateway, Config: config, HostConfig: host, NetworkingConfig: networking,
	}
}

// harden sets what both containers have in common. The engine's own seccomp
// profile, masked and read-only paths stay as its administrator set them.
func harden(host *container.HostConfig) {
	no := false
	host.Init = &no
	host.CapDrop = []string{"ALL"}
	host.SecurityOpt = []string{"no-new-privileges"}
	host.LogConfig = container.LogConfig{Type: "none"}
	host.RestartPolicy = container.RestartPolicy{Name: container.RestartPolicyDisabled}
	host.IpcMode = container.IPCModePrivate
}

// agentMounts are the run's directories and files. Mountpoints below home and
// workspace were made on the host, since the engine makes them root's.
func agentMounts(plan bottle.Plan, b parts) []mount.Mount {
	spec := plan.Spec
	var mounts []mount.Mount
	for _, m := range plan.Mounts {
		mounts = append(mounts, readOnly(m.Source, m.Target))
	}
	mounts = append(mounts, []mount.Mount{
		{Type: mount.TypeBind, Source: b.Paths.Home, Target: spec.Home},
		{Type: mount.TypeBind, Source: b.Paths.Work, Target: spec.Workspace},
		{Type: mount.TypeBind, Source: b.Paths.Git, Target: spec.Workspace + "/.git"},
		readOnly(b.Program.Guest, insideBinary),
		readOnly(b.Paths.Nonce, insideNonce),
	}...)
	if plan.Docker.Alone {
		mounts = append(mounts, readOnly(b.Paths.Handover, insideHandover))
	}
	for _, name := range etcFiles(spec) {
		mounts = append(mounts, readOnly(filepath.Join(b.Paths.Etc, name), filepath.Join(bottle.EtcMount, name)))
	}
	return mounts
}

// etcFiles are the files mounted one by one, sorted: those of the spec, and
// those that the platform writes.
func etcFiles(spec bottle.Spec) []string {
	files := []string{"passwd", "group", "hosts", "resolv.conf"}
	for _, file := range spec.Files {
		if file.Root == provision.Etc {
			files = append(files, file.Path)
		}
	}
	slices.Sort(files)
	return slices.Compact(files)
}

func readOnly(source, target string) mount.Mount {
	return mount.Mount{Type: mount.TypeBind, Source: source, Target: target, ReadOnly: true}
}

func agentResources(limits bottle.Limits) container.Resources {
	pids := limits.PIDs
	if pids == 0 {
		pids = defaultPIDs
	}
	return container.Resources{
		Memory:     limits.Memory,
		MemorySwap: limits.Memory, // memory and swap together: no swap beside it
		NanoCPUs:   int64(limits.CPUs * 1e9),
		PidsLimit:  &pids,
		Ulimits:    noCore(),
	}
}

// noCore keeps what a process knew out of files on the host's disk.
func noCore() []*container.Ulimit { return []*container.Ulimit{{Name: "core"}} }

// noIPv6 switches IPv6 off inside, on every interface to come.
func noIPv6(part *bottle.DockerPlan) map[string]string {
	if !part.IPv6 {
		return nil
	}
	return map[string]string{
		"net.ipv6.conf.all.disable_ipv6":     "1",
		"net.ipv6.conf.default.disable_ipv6": "1",
	}
}

// engineRuntime is the runtime as the engine takes it: its default is left to
// it, unless the manifest names runc.
func engineRuntime(plan bottle.Plan) string {
	if plan.Docker.Runtime == "runsc" || plan.Spec.Isolation == bottle.Runc {
		return plan.Docker.Runtime
	}
	return ""
}

func userOf(spec bottle.Spec) string {
	return strconv.Itoa(spec.UID) + ":" + strconv.Itoa(spec.GID)
}

func onNetwork(name string, address netip.Addr) *network.NetworkingConfig {
	return &network.NetworkingConfig{EndpointsConfig: map[string]*network.EndpointSettings{
		name: {IPAMConfig: &network.EndpointIPAMConfig{IPv4Address: address}},
	}}
}

// createContainer creates one and returns its id. call names the failpoint.
func (e *engine) createContainer(ctx context.Context, call string, options client.ContainerCreateOptions) (string, error) {
	if e.breach.container != nil {
		e.breach.container(call, &options)
	}
	result, err := askWhole(ctx, call, callLimit, func(ctx context.Context) (client.ContainerCreateResult, error) {
		result, err := e.ContainerCreate(ctx, options)
		e.heard(err)
		return result, err
	})
	if err != nil {
		err = fmt.Errorf("create container %s: %w", options.Name, err)
		if notFound(err) {
			err = hint.With(err, "the image vanished from the engine; start again")
		}
		return "", err
	}
	return result.ID, nil
}

// startContainer starts one that was created.
func (e *engine) startContainer(ctx context.Context, call, id, name string) error {
	if e.breach.start != nil {
		if err := e.breach.start(ctx, call, id); err != nil {
			return err
		}
	}
	_, err := ask(ctx, call, startLimit, func(ctx context.Context) (client.ContainerStartResult, error) {
		return e.ContainerStart(ctx, id, client.ContainerStartOptions{})
	})
	if err != nil {
		return fmt.Errorf("start container %s: %w", name, err)
	}
	return nil
}

// removeContainer kills and removes one by id or name, with its anonymous
// volumes. One that is missing, or that is being removed, is removed.
func (e *engine) removeContainer(ctx context.Context, id string) error {
	_, err := ask(ctx, "container-remove", callLimit, func(ctx context.Context) (client.ContainerRemoveResult, error) {
		return e.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
	})
	if err != nil && !gone(err) {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	return nil
}
