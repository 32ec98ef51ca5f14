package bottle

import (
	"net/netip"

	"claude-bottle/internal/wire"
)

// NativePlan is the native platform's part of a Plan.
type NativePlan struct {
	Pinned     bool   `json:"pinned"`     // Name is CLAUDE_BOTTLE_CONTAINER
	Bubblewrap string `json:"bubblewrap"` // the program's path
	// Mounts are what of the host is seen inside, read-only. Links are links of
	// the host's root directory, such as /bin.
	Mounts []NativeMount `json:"mounts"`
	Links  []NativeLink  `json:"links"`
	// Harness is the agent's program on the host, when it is not among Mounts
	// anyway.
	Harness string `json:"harness,omitempty"`
	// Path is where programs are looked for inside.
	Path string `json:"path"`
	// Env is what of the launcher's environment every process inside gets,
	// NAME=value: locale and time zone.
	Env []string `json:"env"`
	// PIDs is the most processes that may be inside, those of the bottle's own
	// included.
	PIDs int64 `json:"pids"`
	// Address and Ports are the gateway's, on the bottle's loopback.
	Address netip.Addr `json:"address"`
	Ports   wire.Ports `json:"ports"`
}

// NativeMount is a file or directory of the host, and where it is seen.
type NativeMount struct {
	Source string `json:"source"`
	Target string `json:"target"`
}

// NativeLink is a symbolic link.
type NativeLink struct {
	Name   string `json:"name"`
	Target string `json:"target"`
}
