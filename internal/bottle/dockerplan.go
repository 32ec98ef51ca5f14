package bottle

import (
	"net/netip"

	"claude-bottle/internal/wire"
)

// DockerPlan is the docker platform's part of a Plan.
type DockerPlan struct {
	Endpoint   string `json:"endpoint"`
	Version    string `json:"version"`    // of the engine
	APIVersion string `json:"apiVersion"` // negotiated
	Pinned     bool   `json:"pinned"`     // Name is CLAUDE_BOTTLE_CONTAINER
	// Image is the base, RuntimeImage what is launched (Derived or Image).
	Image          string       `json:"image"`
	Build          bool         `json:"build"` // the recipe's image must be built first
	Derived        string       `json:"derived,omitempty"`
	RuntimeImage   string       `json:"runtimeImage"`
	Runtime        string       `json:"runtime"` // "runsc" or "runc"
	Network        string       `json:"network"`
	EgressNetwork  string       `json:"egressNetwork"`
	Subnet         netip.Prefix `json:"subnet"`
	GatewayAddress netip.Addr   `json:"gatewayAddress"`
	BottleAddress  netip.Addr   `json:"bottleAddress"`
	Ports          wire.Ports   `json:"ports"`
}
