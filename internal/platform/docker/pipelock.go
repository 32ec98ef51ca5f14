package docker

import (
	"fmt"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// What the program is called, and how it is found and asked.
const (
	pipelockImage  = "pipelock:latest"
	pipelockPort   = 8888
	pipelockHealth = "/health"
	// pipelockConfig is its configuration in its container, and pipelockFile
	// the same in the run's directory of such files.
	pipelockConfig = "/etc/pipelock.yaml"
	pipelockFile   = "pipelock.yaml"
	// pipelockLog is what it says, beside the record.
	pipelockLog = "/record/pipelock.log"
)

// pipelockSeen is what the engine knows of the image.
type pipelockSeen struct {
	ID         string // empty when it is not in the engine
	Entrypoint []string
}

// choosePipelock fills in the gateway that is not our own, if the bottle asks
// for it, and refuses what it cannot do.
func choosePipelock(part *bottle.DockerPlan, spec bottle.Spec, seen observed) ([]string, error) {
	if spec.Gateway != bottle.Pipelock {
		return nil, nil
	}
	cannot := beyondPipelock(spec.Egress)
	if spec.Canary {
		cannot = append(cannot, "scan.canary")
	}
	if len(cannot) > 0 {
		return nil, hint.With(fmt.Errorf("gateway pipelock cannot do what bottle %s asks for: %s", spec.Bottle, strings.Join(cannot, "; ")),
			"take that out, or set gateway: builtin")
	}
	port, err := seen.Settings.pipelockPort()
	if err != nil {
		return nil, err
	}
	image := seen.Settings.pipelockImage()
	switch {
	case seen.Pipelock.ID == "":
		return nil, hint.With(fmt.Errorf("image %s, for gateway pipelock, is not in the engine", image),
			"`docker pull` it and name it in CLAUDE_BOTTLE_PIPELOCK_IMAGE, or set gateway: builtin")
	case len(seen.Pipelock.Entrypoint) == 0:
		return nil, hint.With(fmt.Errorf("image %s has no entry point, so it is not pipelock's", image),
			"name pipelock's in CLAUDE_BOTTLE_PIPELOCK_IMAGE, or set gateway: builtin")
	}
	part.Ports = wire.Ports{Proxy: port, DNS: wire.StandardPorts.DNS}
	part.Pipelock = &bottle.PipelockPlan{Image: image, ImageID: seen.Pipelock.ID, Argv: seen.Pipelock.Entrypoint, Config: pipelockYAML(spec.Egress)}
	return []string{
		"gateway pipelock: it looks at no port: every port of an allowed host can be reached",
		"gateway pipelock: what it decides is in its own log, and not in the record; programs that use no proxy reach nothing",
	}, nil
}

// pipelockArgv starts the program of a plan on the address that was won.
func pipelockArgv(part *bottle.DockerPlan, address netip.Addr) []string {
	listen := netip.AddrPortFrom(address, uint16(part.Ports.Proxy)) //nolint:gosec // G115: a port
	return append(slices.Clone(part.Pipelock.Argv), "run", "--config", pipelockConfig, "--listen", listen.String())
}

// beyondPipelock are what of an egress the program cannot do, or would do
// otherwise than it is said here.
func beyondPipelock(e policy.Egress) []string {
	var cannot []string
	add := func(what string, args ...any) { cannot = append(cannot, fmt.Sprintf(what, args...)) }
	for _, rule := range e.Rules {
		if !plainRule(rule) {
			add("egress rule %q (it knows names alone)", rule.String())
		}
	}
	hosts := pipelockHosts(e)
	for _, host := range hosts {
		apex, wildcard := strings.CutPrefix(host, "*.")
		switch {
		case wildcard && !slices.Contains(hosts, apex):
			add("%s (it would allow %s too: list that as well if you mean it)", host, apex)
		case strings.Contains(host, ":"):
			add("%s (it looks at no port)", host)
		case !wildcard && isAddress(host):
			add("%s (it knows names alone)", host)
		}
	}
	switch {
	case e.Inspect == policy.InspectAlways:
		add("egress.inspect: always")
	case e.Unlisted == policy.Ask:
		add("egress.unlisted: ask")
	}
	for _, secret := range e.Secrets {
		add("the brokered secret %s", secret.Name)
	}
	if e.Scan.Mode != "" || len(e.Scan.Allowed) > 0 {
		add("scan")
	}
	if e.Budget > 0 {
		add("egress.budget")
	}
	if e.Proxy != "" {
		add("egress.proxy")
	}
	return cannot
}

// plainRule says whether a rule says no more than that a host is allowed.
func plainRule(r policy.Rule) bool {
	return !r.Deny && !r.TCP && r.Port == 0 && len(r.Methods) == 0 && len(r.Paths) == 0 && r.Budget == 0 &&
		r.Inspect != policy.InspectAlways && r.Scan == ""
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}

// pipelockHosts are all names that an egress allows, each once, in lower case.
func pipelockHosts(e policy.Egress) []string {
	var hosts []string
	for _, allow := range e.Allow {
		hosts = append(hosts, strings.ToLower(strings.TrimSuffix(allow.Host, ".")))
	}
	for _, rule := range e.Rules {
		hosts = append(hosts, strings.ToLower(strings.TrimSuffix(rule.Host, ".")))
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// pipelockYAML is the program's configuration. A string of JSON is one of YAML.
func pipelockYAML(e policy.Egress) string {
	var b strings.Builder
	list := func(indent, key string, items []string) {
		if len(items) == 0 {
			fmt.Fprintf(&b, "%s%s: []\n", indent, key)
			return
		}
		fmt.Fprintf(&b, "%s%s:\n", indent, key)
		for _, item := range items {
			fmt.Fprintf(&b, "%s  - %q\n", indent, item)
		}
	}
	b.WriteString("version: 1\nmode: strict\nenforce: true\n")
	list("", "api_allowlist", pipelockHosts(e))
	b.WriteString("forward_proxy:\n  enabled: true\ndlp:\n  include_defaults: true\n  scan_env: true\n")
	if len(e.Private) > 0 {
		var private []string
		for _, prefix := range e.Private {
			private = append(private, prefix.String())
		}
		b.WriteString("ssrf:\n")
		list("  ", "ip_allowlist", private)
	}
	return b.String()
}

// asPipelock makes the options of a gateway's container those of pipelock's:
// in its image, our program as the parent of its own.
func asPipelock(plan bottle.Plan, b parts, config *container.Config, host *container.HostConfig) {
	config.Entrypoint = []string{insideBinary, "gateway", "host"}
	config.Labels[labelPipelock] = strconv.Itoa(plan.Docker.Ports.Proxy)
	host.Mounts = append(host.Mounts,
		readOnly(b.Program.Gateway, insideBinary),
		readOnly(filepath.Join(b.Paths.Etc, pipelockFile), pipelockConfig),
		mount.Mount{Type: mount.TypeTmpfs, Target: "/tmp", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 16 << 20, Mode: 0o1777}},
	)
	for _, name := range slices.Sorted(maps.Keys(plan.Spec.Egress.Resolve)) {
		host.ExtraHosts = append(host.ExtraHosts, name+":"+plan.Spec.Egress.Resolve[name].String())
	}
}

func (s settings) pipelockImage() string {
	if s.Pipelock != "" {
		return s.Pipelock
	}
	return pipelockImage
}

func (s settings) pipelockPort() (int, error) {
	if s.PipelockPort == "" {
		return pipelockPort, nil
	}
	port, err := strconv.ParseUint(s.PipelockPort, 10, 16)
	if err != nil || port == 0 {
		return 0, hint.With(fmt.Errorf("CLAUDE_BOTTLE_PIPELOCK_PORT is %q, which is no port", s.PipelockPort), "set a number from 1 to 65535, or unset it for 8888")
	}
	return int(port), nil
}
