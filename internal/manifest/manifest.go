// Package manifest finds, reads, merges and checks the files that describe
// bottles and agents, and keeps which of them each value came from. It says
// what a project's file would change beside the person's own, and whether the
// person has trusted it; asking is left to the command line.
package manifest

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
)

// Origin says whose a file is.
type Origin string

// The person's own file is Home. Project is the one in the working directory,
// which came with the code and is trusted only when the person says so.
const (
	Home    Origin = "home"
	Project Origin = "project"
)

// Manifest is what one or two files say together, checked.
type Manifest struct {
	Bottles map[string]Bottle
	Agents  map[string]Agent
	// Files are all that was read: home's manifest and the files it names,
	// then the project's.
	Files []Source
	// Warnings are for the plan; what they are about works.
	Warnings []Problem

	merged  *node
	project *ProjectFile
}

// Source is one file that was read, once: what was hashed is what was parsed.
type Source struct {
	Path   string // absolute
	Origin Origin
	data   []byte
}

// Bottle is one entry of bottles.
type Bottle struct {
	Name string
	// Env is in the order of the files, home's entries first.
	Env    []environ.Entry
	Egress Egress
	Limits Limits
	// Isolation is "auto", "runsc" or "runc"; "auto" when the file says nothing.
	Isolation string
	// Gateway is GatewayBuiltin or GatewayPipelock.
	Gateway string
	// Mounts are absolute, in the order of the file, each once.
	Mounts []string
	// Toolchains is ToolchainsAuto, or empty.
	Toolchains string
	Nested     bool
	Scan       Scan
}

// ToolchainsAuto takes the toolchains along that are on the person's PATH.
const ToolchainsAuto = "auto"

// Egress is what a bottle may reach beside what its harness needs.
type Egress struct {
	// Allowlist holds names, "*.name" and literal addresses, each with an
	// optional ":port", in the order of the file.
	Allowlist []string
	Private   []netip.Prefix
	Resolve   map[string]netip.Addr
	// CA is the absolute path of the file with extra roots, and Roots its
	// certificates, PEM and nothing else. Empty for none.
	CA    string
	Roots string
	// ProjectRoots says that the project's manifest brought them.
	ProjectRoots bool
	// Proxy is http://[user:password@]host:port, or empty, and NoProxy what
	// is reached without it.
	Proxy   string
	NoProxy []string
	// Presets are names of Presets, whose hosts the launcher finds.
	Presets []string
	// Rules are in the order of the file, without Source.
	Rules []policy.Rule
	// Inspect and Unlisted are as the policy has them; empty when the file
	// says nothing.
	Inspect, Unlisted string
	// Budget is in bytes; 0 when the file says nothing.
	Budget int64
}

// Limits are a bottle's; zero means that the file says nothing.
type Limits struct {
	Memory int64 // bytes
	CPUs   float64
	PIDs   int64
	Disk   int64 // bytes
}

// Agent is one entry of agents.
type Agent struct {
	Name   string
	Bottle string
	// Harness is the name of a known one, or "command" when Command is what
	// runs.
	Harness string
	Command []string
	Skills  []string
	Prompt  string
}

// Gateways of a bottle.
const (
	GatewayBuiltin  = "builtin"
	GatewayPipelock = "pipelock"
)

// Names of harnesses.
const (
	HarnessClaude  = "claude"
	HarnessCommand = "command"
)

// Presets are the choices of egress.presets.
func Presets() []string {
	return []string{"npm", "pypi", "go", "crates", "maven", "rubygems", "debian", "github-read"}
}

// Agent finds an agent and its bottle. The error of an unknown name says which
// are close.
func (m *Manifest) Agent(name string) (Agent, Bottle, error) {
	agent, ok := m.Agents[name]
	if ok {
		return agent, m.Bottles[agent.Bottle], nil
	}
	known := slices.Sorted(maps.Keys(m.Agents))
	err := fmt.Errorf("no agent %q in the manifest", name)
	if len(known) == 0 {
		return Agent{}, Bottle{}, hint.With(err, "it defines no agents: add one with claude-bottle edit")
	}
	if near := closest(name, known, nil); near != "" {
		err = fmt.Errorf("%w: did you mean %q?", err, near)
	}
	return Agent{}, Bottle{}, hint.With(err, "agents are: "+strings.Join(known, ", "))
}

// At says where the value below the given keys was written, for instance
// At("bottles", "work", "egress", "ca"). Of an object that both files have it
// is the project's place.
func (m *Manifest) At(keys ...string) (Position, bool) {
	n := m.merged.get(keys...)
	if n == nil {
		return Position{}, false
	}
	return n.position(), true
}

// Project is the working directory's manifest, or nil when only home's was
// read.
func (m *Manifest) Project() *ProjectFile { return m.project }

// Hash is the SHA-256, in hex, over all of Files: the same whenever a launch
// would read the same.
func (m *Manifest) Hash() string { return hash(m.Files) }
