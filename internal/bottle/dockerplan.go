package bottle

import (
	"net/netip"

	"claude-bottle/internal/wire"
)

// DockerPlan is the docker platform's part of a Plan.
type DockerPlan struct {
	Endpoint   string `json:"endpoint"`
	Engine     string `json:"engine,omitempty"` // which one that is: its id and its data directory
	Version    string `json:"version"`          // of the engine
	APIVersion string `json:"apiVersion"`       // negotiated
	Owner      string `json:"owner"`            // the value of every object's owner label
	Pinned     bool   `json:"pinned"`           // Name is CLAUDE_BOTTLE_CONTAINER
	// Image is the base's name, ImageID what that was when planned (empty
	// when it is still to be built), RuntimeImage what is launched (Derived
	// or Image).
	Image        string `json:"image"`
	ImageID      string `json:"imageID,omitempty"`
	Build        bool   `json:"build"` // the recipe's image must be built first
	Derived      string `json:"derived,omitempty"`
	RuntimeImage string `json:"runtimeImage"`
	// Recipe is the hash of the embedded recipe with its arguments; empty
	// when the image is the person's own.
	Recipe        string `json:"recipe,omitempty"`
	BaseImage     string `json:"baseImage,omitempty"`     // the recipe's FROM
	ClaudeVersion string `json:"claudeVersion,omitempty"` // of the harness in the recipe
	// Runtime is "runsc", "runc", or the name of the engine's own default where
	// that is another; never empty.
	Runtime string `json:"runtime"`
	// EngineFilter says that the engine puts a seccomp filter of its own on
	// every container.
	EngineFilter bool `json:"engineFilter,omitempty"`
	// IPv6 says that the kernel has it and that it is switched off inside.
	IPv6 bool `json:"ipv6"`
	// Alone says that the bottle has no network: its gateway serves listeners
	// that the guest opens inside, at GatewayAddress on the bottle's loopback.
	// Network, Subnet and BottleAddress are of the others.
	Alone          bool         `json:"alone,omitempty"`
	Network        string       `json:"network,omitempty"`
	EgressNetwork  string       `json:"egressNetwork"`
	Subnet         netip.Prefix `json:"subnet,omitzero"`
	GatewayAddress netip.Addr   `json:"gatewayAddress"`
	BottleAddress  netip.Addr   `json:"bottleAddress,omitzero"`
	Ports          wire.Ports   `json:"ports"`
	// Pipelock is the gateway in place of our own; nil for that.
	Pipelock *PipelockPlan `json:"pipelock,omitempty"`
	// Broadcast says that the host will take what the bottle sends to
	// everybody, of which a warning tells.
	Broadcast bool `json:"broadcast,omitempty"`
}

// PipelockPlan is a gateway that is the program pipelock, in an image of the
// person's.
type PipelockPlan struct {
	Image   string `json:"image"`
	ImageID string `json:"imageID"`
	// Argv starts it, by the image's own entry point.
	Argv []string `json:"argv"`
	// Config is the text of its configuration.
	Config string `json:"config"`
}
