package docker

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/handover"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// observed is all that a plan depends on beside the spec: what the engine,
// the host and the launcher's environment say. Plain values, so that plan is
// a function of its arguments.
type observed struct {
	Endpoint   endpoint
	Engine     string // see identity
	Version    string
	APIVersion string

	Run   runs.ID
	Dir   string
	Owner string

	Settings settings
	// Names in use by containers and networks that could be ours.
	Names map[string]bool
	// Image is the id of the image to launch: the override's, or one that
	// carries Recipe's hash; empty when there is none.
	Image  string
	Recipe recipe
	// Pipelock is looked at when the spec names it.
	Pipelock pipelockSeen

	Runtimes       map[string][]string // registered runtimes and their arguments
	DefaultRuntime string
	Security       []string // the engine's security options
	Lacks          []string // limits that the engine's kernel cannot enforce: "memory", "cpus", "pids"
	IPv6           bool     // the kernel has it, and it must be switched off inside
	Unchecked      bool     // see sourcesUnchecked

	Mounts []bottle.HostMount // what the manifest adds of the host

	EngineNetworks []netip.Prefix
	HostNetworks   []netip.Prefix
}

// settings are the launcher's environment overrides.
type settings struct {
	Image   string // CLAUDE_BOTTLE_IMAGE
	Derived string // CLAUDE_BOTTLE_DERIVED_IMAGE
	Name    string // CLAUDE_BOTTLE_CONTAINER
	Base    string // CLAUDE_BOTTLE_BASE_IMAGE
	Claude  string // CLAUDE_BOTTLE_CLAUDE_VERSION
	// Pipelock is CLAUDE_BOTTLE_PIPELOCK_IMAGE, PipelockPort its _PORT.
	Pipelock, PipelockPort string
}

func readSettings(getenv func(string) string) settings {
	return settings{
		Image:   getenv("CLAUDE_BOTTLE_IMAGE"),
		Derived: getenv("CLAUDE_BOTTLE_DERIVED_IMAGE"),
		Name:    getenv("CLAUDE_BOTTLE_CONTAINER"),
		Base:    getenv("CLAUDE_BOTTLE_BASE_IMAGE"),
		Claude:  getenv("CLAUDE_BOTTLE_CLAUDE_VERSION"),

		Pipelock: getenv("CLAUDE_BOTTLE_PIPELOCK_IMAGE"), PipelockPort: getenv("CLAUDE_BOTTLE_PIPELOCK_PORT"),
	}
}

// defaultImage is the name that the recipe's image gets.
const defaultImage = "claude-bottle:latest"

// plan resolves a spec into what a launch will do. It refuses by name what
// this engine cannot honour.
func plan(spec bottle.Spec, seen observed) (bottle.Plan, error) {
	if err := refuseEngine(seen); err != nil {
		return bottle.Plan{}, err
	}
	if err := refuseNatives(spec); err != nil {
		return bottle.Plan{}, err
	}
	runtime, err := chooseRuntime(spec.Isolation, seen)
	if err != nil {
		return bottle.Plan{}, err
	}
	if err := refuseLimits(spec.Limits, runtime, seen); err != nil {
		return bottle.Plan{}, err
	}
	name, err := chooseName(spec.Slug, seen)
	if err != nil {
		return bottle.Plan{}, err
	}
	part := &bottle.DockerPlan{
		Endpoint: seen.Endpoint.Host, Engine: seen.Engine, Version: seen.Version, APIVersion: seen.APIVersion,
		Pinned: seen.Settings.Name != "", Owner: seen.Owner, Runtime: runtime, IPv6: seen.IPv6,
		EngineFilter:  filters(seen.Security),
		EgressNetwork: egressName(seen.Owner), Ports: wire.StandardPorts,
	}
	lesser, err := choosePipelock(part, spec, seen)
	if err != nil {
		return bottle.Plan{}, err
	}
	if err := chooseNetwork(part, name, seen); err != nil {
		return bottle.Plan{}, err
	}
	if err := chooseImage(part, spec, seen); err != nil {
		return bottle.Plan{}, err
	}
	return bottle.Plan{
		Run: seen.Run, Dir: seen.Dir, Name: name, Platform: Name,
		Spec: spec, Warnings: slices.Concat(spec.Warnings, lesser, warnings(part, seen)),
		Mounts: seen.Mounts, Docker: part,
	}, nil
}

// refuseNatives refuses what native bottles alone can do.
func refuseNatives(spec bottle.Spec) error {
	switch {
	case spec.Toolchains:
		return hint.With(errors.New("toolchains auto: the programs of a docker bottle are its image's, and yours may not run there"),
			"use --platform native, or mount what runs anywhere: mounts: [/opt/toolchain]")
	case spec.Nested:
		return hint.With(errors.New("nested: the engine allows no namespaces and mounts inside"), "use --platform native, or take it out")
	}
	return nil
}

// refuseEngine refuses engines that would run a bottle, but not as asked.
func refuseEngine(seen observed) error {
	for _, option := range seen.Security {
		switch {
		case strings.HasPrefix(option, "name=rootless"):
			return hint.With(fmt.Errorf("engine %s runs rootless: it maps user ids, so the bottle's files would not be yours", seen.Endpoint.Host),
				"use the system's engine: DOCKER_HOST=unix:///var/run/docker.sock")
		case strings.HasPrefix(option, "name=userns"):
			return hint.With(fmt.Errorf("engine %s remaps user ids (userns-remap), so the bottle's files would not be yours", seen.Endpoint.Host),
				"take userns-remap out of the engine's configuration")
		}
	}
	return nil
}

// chooseRuntime takes gVisor where the engine has it registered, as "runsc".
func chooseRuntime(isolation bottle.Isolation, seen observed) (string, error) {
	_, registered := seen.Runtimes["runsc"]
	switch {
	case isolation == bottle.Runsc && !registered:
		return "", hint.With(fmt.Errorf("isolation runsc: the engine has no runtime of that name"),
			"install gVisor and register it (`runsc install`, then restart Docker), or set isolation: auto")
	case isolation != bottle.Runc && registered:
		return "runsc", nil
	case seen.DefaultRuntime != "" && seen.DefaultRuntime != "runsc" && isolation != bottle.Runc:
		return seen.DefaultRuntime, nil
	}
	return "runc", nil
}

// sharesKernel are the runtimes known to have the host's kernel serve a
// container, and so to let it use a unix socket of the host's, by which it passes
// its listeners on. gVisor's kernel does not, and of others nobody knows.
var sharesKernel = []string{"runc", "io.containerd.runc.v2", "crun"}

// chooseNetwork gives a bottle no network where its gateway can serve it from
// outside, and else one that leads to the gateway alone. Pipelock takes no
// listeners of others.
func chooseNetwork(part *bottle.DockerPlan, name string, seen observed) error {
	if part.Pipelock == nil && slices.Contains(sharesKernel, part.Runtime) {
		part.Alone, part.GatewayAddress = true, handover.Address()
		return nil
	}
	subnet, err := chooseSubnet(string(seen.Run), bottleBits, seen.EngineNetworks, seen.HostNetworks)
	if err != nil {
		return err
	}
	addresses := addressingOf(subnet)
	part.Network, part.Subnet, part.Broadcast = namesOf(name).Network, subnet, seen.Unchecked
	part.GatewayAddress, part.BottleAddress = addresses.Gateway, addresses.Agent
	return nil
}

// refuseLimits refuses a limit that would be set and not enforced.
func refuseLimits(limits bottle.Limits, runtime string, seen observed) error {
	asked := map[string]bool{"memory": limits.Memory > 0, "cpus": limits.CPUs > 0, "pids": limits.PIDs > 0}
	for _, limit := range []string{"memory", "cpus", "pids"} {
		if !asked[limit] {
			continue
		}
		if ignoresCgroups(seen.Runtimes[runtime]) {
			return hint.With(fmt.Errorf("limits %s: runtime %s is registered with --ignore-cgroups and would not enforce it", limit, runtime),
				"register it without that argument, set isolation: runc, or take the limit out")
		}
		if slices.Contains(seen.Lacks, limit) {
			return hint.With(fmt.Errorf("limits %s: the engine's kernel cannot enforce it", limit),
				"take the limit out; `docker info` lists what the kernel lacks")
		}
	}
	return nil
}

func ignoresCgroups(args []string) bool {
	return slices.ContainsFunc(args, func(arg string) bool {
		name, value, _ := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		return name == "ignore-cgroups" && value != "false"
	})
}

func chooseName(slug string, seen observed) (string, error) {
	pinned := seen.Settings.Name
	if pinned == "" {
		return freeName(slug, seen.Names)
	}
	if namesOf(pinned).taken(seen.Names) {
		return "", errPinnedTaken(pinned)
	}
	return pinned, nil
}

// chooseImage fills in which image is launched and how it comes to be.
func chooseImage(part *bottle.DockerPlan, spec bottle.Spec, seen observed) error {
	if spec.Bare { // the gateway's image holds our program and nothing else
		part.Image, part.RuntimeImage = gatewayImage, gatewayImage
		return nil
	}
	part.Image = defaultImage
	if seen.Settings.Image != "" {
		part.Image = seen.Settings.Image
		if seen.Image == "" {
			return hint.With(fmt.Errorf("image %s (CLAUDE_BOTTLE_IMAGE) is not in the engine", part.Image),
				"pull it, or unset CLAUDE_BOTTLE_IMAGE to build the default one")
		}
	} else {
		part.Build = seen.Image == ""
		part.Recipe = seen.Recipe.Hash()
		part.BaseImage, part.ClaudeVersion = seen.Recipe.Base, seen.Recipe.Claude
	}
	part.ImageID = seen.Image
	part.RuntimeImage = part.Image
	// Without a directory there is nothing to derive, as in the existing tool.
	if seen.Settings.Derived != "" && spec.Cwd != "" {
		part.Derived, part.RuntimeImage = seen.Settings.Derived, seen.Settings.Derived
	}
	return nil
}

// warnings are what this engine gives less of than a person may think.
func warnings(part *bottle.DockerPlan, seen observed) []string {
	var lines []string
	if ignoresCgroups(seen.Runtimes[part.Runtime]) {
		lines = append(lines, "limits: runtime "+part.Runtime+" is registered with --ignore-cgroups, so nothing bounds memory, CPU and processes")
	}
	if part.Broadcast {
		lines = append(lines, "host: UDP services of this machine that listen on all addresses can be sent to, one way, by broadcast; "+
			"`sudo sysctl net.ipv4.conf.default.rp_filter=2` ends that")
	}
	return lines
}
