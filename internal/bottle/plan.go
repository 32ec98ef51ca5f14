package bottle

import (
	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/runs"
)

// Spec is what is to be launched, resolved from manifest, agent and flags, on
// no particular platform. It holds no secret and can be serialised.
type Spec struct {
	Agent  string `json:"agent"`
	Slug   string `json:"slug"`
	Bottle string `json:"bottle"`
	// Harness is the row's name, or "command".
	Harness string `json:"harness"`
	// Argv starts the harness; wire.Start is made from it.
	Argv []string        `json:"argv"`
	Env  []environ.Entry `json:"env"`
	// PromptLength is in characters, PromptLine the first line.
	PromptLength int           `json:"promptLength"`
	PromptLine   string        `json:"promptLine"`
	Skills       []string      `json:"skills"`
	Egress       policy.Egress `json:"egress"`
	Limits       Limits        `json:"limits"`
	Isolation    Isolation     `json:"isolation"`
	// Gateway is the program between bottle and world; empty is our own.
	Gateway Gateway `json:"gateway,omitempty"`
	// Canary has decoy credentials put inside.
	Canary bool `json:"canary,omitempty"`
	// Cwd is the directory copied into the workspace; empty for none.
	Cwd string `json:"cwd,omitempty"`
	// Dir is the working directory, whose manifest was read beside home's.
	Dir string `json:"dir,omitempty"`
	// Home and Workspace are paths inside.
	Home      string `json:"home"`
	Workspace string `json:"workspace"`
	// UID and GID are the agent's, never 0.
	UID   int              `json:"uid"`
	GID   int              `json:"gid"`
	Files []provision.File `json:"files"`
	Trees []provision.Tree `json:"trees"`
	// Mounts are more of the host, absolute; the plan's HostMounts are what
	// became of them.
	Mounts []string `json:"mounts,omitempty"`
	// Toolchains is true when those on the person's PATH are taken along.
	Toolchains bool `json:"toolchains,omitempty"`
	// Nested bottles may make namespaces and mounts inside.
	Nested bool `json:"nested,omitempty"`
	// Once is true when the harness runs one prompt without a terminal.
	Once          bool `json:"once"`
	RemoteControl bool `json:"remoteControl"`
	// Bare bottles have no image: nothing but our own program is inside.
	Bare bool `json:"bare,omitempty"`
	// Manifest is the hash of the manifest files.
	Manifest string   `json:"manifest"`
	Warnings []string `json:"warnings"` // what the agent could misuse, one line each
}

// Limits are a bottle's; zero means the platform's default.
type Limits struct {
	Memory int64   `json:"memory,omitempty"` // bytes
	CPUs   float64 `json:"cpus,omitempty"`
	PIDs   int64   `json:"pids,omitempty"`
	Disk   int64   `json:"disk,omitempty"` // bytes of work, git, home and the writable layer
}

// Isolation is the kernel boundary that a manifest asks for.
type Isolation string

// Auto takes runsc where the engine has it registered, else runc.
const (
	Auto  Isolation = "auto"
	Runsc Isolation = "runsc"
	Runc  Isolation = "runc"
)

// Gateway is a gateway that is not our own.
type Gateway string

// Pipelock is the program of that name, from an image of the person's.
const Pipelock Gateway = "pipelock"

// File is what the kernel knows a file or directory by, whatever its name.
type File struct {
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// HostMount is a file or directory of the host that a manifest has asked for.
type HostMount struct {
	Source string `json:"source"` // links resolved
	Target string `json:"target"`
	// File is which one Source was when the plan was made.
	File File `json:"file,omitzero"`
	// For says what asked for it: "mounts", or a toolchain.
	For string `json:"for"`
	// Hidden are files below Target that an empty one lies over.
	Hidden []string `json:"hidden,omitempty"`
}

// Plan is everything a launch will do. It is plain values without secrets;
// Name and the subnet are proposals until the launch has won them.
type Plan struct {
	Run      runs.ID  `json:"run"`
	Dir      string   `json:"dir"` // the proposed run directory
	Name     string   `json:"name"`
	Platform string   `json:"platform"`
	Why      string   `json:"why"` // why this platform
	Spec     Spec     `json:"spec"`
	Warnings []string `json:"warnings"` // the platform's, beside the spec's

	// Mounts are what of the host is seen inside because the manifest says so,
	// read-only.
	Mounts []HostMount `json:"mounts,omitempty"`

	Docker *DockerPlan `json:"docker,omitempty"`
	Native *NativePlan `json:"native,omitempty"`
}
