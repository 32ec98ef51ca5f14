package probe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/wire"
)

// Verdict is what all parts of a probe found.
type Verdict struct {
	Findings []wire.Finding `json:"findings"`
	Took     time.Duration  `json:"took"`
}

// Add takes in what one part found.
func (v *Verdict) Add(findings ...wire.Finding) { v.Findings = append(v.Findings, findings...) }

// Summary is one line for people: "31 checks, all closed (14 ms)".
func (v Verdict) Summary() string {
	failed, warned, missing := 0, 0, ""
	for _, f := range v.Findings {
		switch {
		case f.Failed && f.Kind == Program:
			missing = ", but " + f.Target + " cannot be run"
		case f.Failed:
			failed++
		case f.Warned:
			warned++
		}
	}
	what := "all closed"
	switch {
	case failed > 0:
		what = fmt.Sprintf("%d failed", failed)
	case warned > 0:
		what = fmt.Sprintf("all closed but %d that the plan warned of", warned)
	}
	return fmt.Sprintf("%d checks, %s%s (%d ms)", len(v.Findings), what, missing, v.Took.Milliseconds())
}

// Failure is what keeps a bottle from being ready: doors that are open, and
// ways that do not work.
type Failure struct{ Findings []wire.Finding }

// Error names what failed, of each kind of check a few.
func (f *Failure) Error() string {
	var kinds []string // in the order in which they occur
	targets := map[string][]string{}
	for _, finding := range f.Findings {
		if targets[finding.Kind] == nil {
			kinds = append(kinds, finding.Kind)
		}
		targets[finding.Kind] = append(targets[finding.Kind], finding.Target+": "+finding.Detail)
	}
	lines := make([]string, len(kinds))
	for i, kind := range kinds {
		shown := targets[kind]
		more := ""
		if len(shown) > maxShown {
			more = fmt.Sprintf(", and %d more", len(shown)-maxShown)
			shown = shown[:maxShown]
		}
		lines[i] = meanings[kind] + ": " + strings.Join(shown, ", ") + more
	}
	return "isolation: " + strings.Join(lines, "; ")
}

// maxShown is how many findings of a kind an error names: a host that is open
// is so on every address.
const maxShown = 3

// Err is nil when every door is closed and every way works; a *Failure, with a
// hint about the first, when that is not so. A program that is not there is
// none: the exec that wants it says so, with the code that tools expect.
func (v Verdict) Err() error {
	var failure Failure
	for _, f := range v.Findings {
		if f.Failed && f.Kind != Program {
			failure.Findings = append(failure.Findings, f)
		}
	}
	if len(failure.Findings) == 0 {
		return nil
	}
	return hint.With(&failure, remedies[failure.Findings[0].Kind])
}

// Describe says what a finding that failed means.
func Describe(f wire.Finding) string {
	return fmt.Sprintf("%s: %s: %s", meanings[f.Kind], f.Target, f.Detail)
}

// meanings begin the sentence about a check that failed.
var meanings = map[string]string{
	Host:         "the bottle reaches the host",
	FarSide:      "the bottle reaches the far side of its default route",
	EgressLeg:    "the bottle reaches its gateway's leg to the world",
	Neighbour:    "another bottle can be reached",
	Broadcast:    "the host takes what the bottle sends to everybody",
	Resolver:     "the engine's name server asks somebody beside the gateway",
	Network:      "the bottle has an address that was not given to it",
	Call:         "a system call is not refused",
	Setting:      "the kernel's files are open",
	Mounted:      "what is mounted of the host is not what the plan says",
	Device:       "a device is open",
	EngineSocket: "an engine's socket is open",
	Memory:       "the guest can be read",
	Capabilities: "capabilities are not all dropped",
	Privileges:   "new privileges can be gained",
	Filter:       "seccomp is not as it should be",
	User:         "the bottle does not run as the agent's user alone",
	GatewayPort:  "the gateway can be reached where it must not listen",
	Forwarding:   "the gateway forwards packets",
	Files:        "the gateway can open the person's files",
	Proxy:        "the gateway's proxy does not work",
	Names:        "the gateway's name server does not work",
	Plain:        "the gateway's plain ports do not work",
	Program:      "the harness cannot be run",
	Control:      "the probe could not see an open door",
}

// Kinds are those of all checks that every launch makes.
func Kinds() []string {
	kinds := slices.Sorted(maps.Keys(meanings))
	return slices.DeleteFunc(kinds, func(kind string) bool { return kind == Neighbour || kind == Files || kind == Mounted })
}

const (
	networkRemedy = "look for rules or routes that other programs added (`iptables-save`, `ip route`); claude-bottle's own networks are internal and have no host address"
	engineRemedy  = "see whether the engine's configuration or a runtime wrapper changes what containers get"
	gatewayRemedy = "start again; a machine without free memory or descriptors fails so too"
)

// remedies say what to do.
var remedies = map[string]string{
	Host: networkRemedy, FarSide: networkRemedy, EgressLeg: networkRemedy, Network: networkRemedy,
	Neighbour:  "bottles' networks are kept apart by the engine's rules: see that it manages iptables (no `--iptables=false`), and restart it",
	Broadcast:  "`sudo sysctl net.ipv4.conf.default.rp_filter=2` has the host ask where packets come from",
	Resolver:   "see the engine's `dns` settings; a bottle's own is its gateway",
	Call:       engineRemedy,
	Setting:    engineRemedy,
	Device:     engineRemedy,
	Mounted:    "something replaced it while the bottle was made: start again, and look at the plan",
	Memory:     engineRemedy,
	Privileges: engineRemedy, Capabilities: engineRemedy, Filter: engineRemedy, User: engineRemedy,
	EngineSocket: "take the socket out of the image or the mounts",
	GatewayPort:  gatewayRemedy,
	Forwarding:   engineRemedy,
	Files:        "see whether another sandbox around claude-bottle keeps it from using Landlock",
	Proxy:        gatewayRemedy, Names: gatewayRemedy, Plain: gatewayRemedy,
	Control: "see whether a firewall of the host's keeps it from its own addresses or its containers",
}
