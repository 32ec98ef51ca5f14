package bottle

import (
	"net/netip"

	"claude-bottle/internal/wire"
)

// NativePlan is the native platform's part of a Plan.
type NativePlan struct {
	Pinned     bool   `json:"pinned"`     // Name is CLAUDE_BOTTLE_CONTAINER
	Bubblewrap string `json:"bubblewrap"` // the program's path
	// Mounts are what of the host is seen inside, read-only. Copies are small
	// files of the host that are there as they were at the start. Links are
	// links of the host's, such as /bin.
	Mounts []NativeMount `json:"mounts"`
	Copies []NativeMount `json:"copies"`
	Links  []NativeLink  `json:"links"`
	// Masked are files of the kernel that show the host, and that nothing shows
	// inside.
	Masked []string `json:"masked,omitempty"`
	// Harness is the agent's program on the host, when it is not among Mounts
	// anyway.
	Harness string `json:"harness,omitempty"`
	// Agent is what of it is mounted, and the program itself: each must still be
	// the one that was found when it is mounted.
	Agent []HostMount `json:"agent,omitempty"`
	// Install is what the launch installs first, once, when the agent's program
	// is nowhere on the host; nil when it is somewhere.
	Install *NativeInstall `json:"install,omitempty"`
	// Path is where programs are looked for inside.
	Path string `json:"path"`
	// Env is what of the launcher's environment every process inside gets,
	// NAME=value: locale and time zone.
	Env []string `json:"env"`
	// PIDs is the most processes that may be inside, those of the bottle's own
	// included.
	PIDs int64 `json:"pids"`
	// Groups are the control groups that the launch makes to hold the limits;
	// none when the manifest sets none that needs one.
	Groups []NativeGroup `json:"groups,omitempty"`
	// Scope is the bus on which systemd is asked for a scope that holds limits;
	// empty when there is none.
	Scope string `json:"scope,omitempty"`
	// Address and Ports are the gateway's, on the bottle's loopback.
	Address netip.Addr `json:"address"`
	Ports   wire.Ports `json:"ports"`
}

// print writes what a native bottle takes of the host beside what each has.
func (n NativePlan) print(line lineFunc) {
	if n.Scope != "" {
		line("  held by", "a scope of systemd, at %s", printable(n.Scope))
	}
	for _, group := range n.Groups {
		line("  held by", "a control group in %s", printable(group.Parent))
	}
	if n.Install != nil {
		line("install", "%s with npm, once, into %s", printable(n.Install.Package), printable(n.Install.Dir))
	}
}

// NativeGroup is a control group (cgroups(7)) of one bottle.
type NativeGroup struct {
	// Parent is the directory below which it is made, under the run's name.
	Parent string `json:"parent"`
	// Enable are controllers to switch on for what is below Parent, before.
	Enable []string       `json:"enable,omitempty"`
	Set    []GroupSetting `json:"set"`
}

// GroupSetting is one file of a control group and what is written to it.
type GroupSetting struct {
	File  string `json:"file"`
	Value string `json:"value"`
	// Optional settings are of kernels that count swap.
	Optional bool `json:"optional,omitempty"`
}

// NativeInstall is a package of the npm registry.
type NativeInstall struct {
	Package string `json:"package"` // with its version
	Dir     string `json:"dir"`     // where it stays, for later launches too
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
