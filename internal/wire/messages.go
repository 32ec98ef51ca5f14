// Package wire is the language between launcher, guest and gateway: frames on
// a byte stream, the messages in them, and the clients of the two servers. It
// knows nothing of how a platform carries the stream.
//
// Everything that comes out of a bottle was written by an enemy: sizes are
// bounded, unknown kinds end the connection.
package wire

import (
	"fmt"
	"io"
	"net/netip"
	"slices"

	"claude-bottle/internal/keys"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/shares"
)

// GuestBoot is the first frame a guest reads, once, before it starts
// anything. It is the only way by which secrets enter a bottle; the guest
// forgets them when the first process that asked for them has started. It prints
// as its run.
type GuestBoot struct {
	Run string `json:"run"`
	// Env is NAME=value for every process inside.
	Env Strings `json:"env"`
	// Secrets is NAME=value for the harness alone.
	Secrets Strings `json:"secrets,omitempty"`
	// DialUID is the only uid that may connect to the guest's socket
	// (SO_PEERCRED); below 0 there is no such socket.
	DialUID int `json:"dialUID"`
	// Attached ends the guest, and so the bottle, when the stream that
	// carried this frame ends.
	Attached bool `json:"attached"`
	// Nonce must be what the file NoncePath holds, which proves that the
	// engine mounts the launcher's own file system.
	Nonce     string `json:"nonce"`
	NoncePath string `json:"noncePath"`
	// Probe says that a probe will be asked for, so that the process that
	// makes it can start at once.
	Probe bool `json:"probe,omitempty"`
	// Listener says that descriptor 3 is a listening unix socket of further
	// conversations, which only the launcher's side can reach.
	Listener bool `json:"listener,omitempty"`
	// Handover, of a bottle that has no network, has the guest open the ways
	// in and hand them to the gateway before it is ready.
	Handover *Handover `json:"handover,omitempty"`
	// Shares are what the guest and all inside may have of what is the
	// person's.
	Shares shares.Shares `json:"shares,omitempty"`
}

// String hides the secrets.
func (b GuestBoot) String() string { return "boot of the guest of run " + b.Run }

// Format is String, whatever the verb.
func (b GuestBoot) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, b.String()) }

// Handover is how a gateway gets listeners that a guest opens, see package
// handover.
type Handover struct {
	// Path is the socket on which the gateway waits, as the reader sees it.
	Path string `json:"path"`
	// Nonce is of this launch, and known to the two alone.
	Nonce string `json:"nonce"`
	// Address and Ports are where the ways in are.
	Address netip.Addr `json:"address"`
	Ports   Ports      `json:"ports"`
}

// GatewayBoot is the first frame a gateway reads.
type GatewayBoot struct {
	Run    string        `json:"run"`
	Policy policy.Egress `json:"policy"`
	// Address is the bottle-side address, the only one the gateway binds.
	Address netip.Addr `json:"address"`
	// Handover, of a bottle that has no network, has the gateway bind nothing
	// and receive what it serves. Address is then within the bottle.
	Handover *Handover `json:"handover,omitempty"`
	// Ports on Address. DNS is served over UDP and TCP.
	Ports Ports `json:"ports"`
	// Hosted, if set, is another program that is the gateway, and that ours is
	// the parent of.
	Hosted *Hosted `json:"hosted,omitempty"`
	// HostAddresses are the host's own, which are refused unless private.
	HostAddresses []netip.Addr `json:"hostAddresses"`
	// Record is the path of the record file.
	Record string `json:"record"`
	// Control is the unix socket of the gateway's control stream, abstract when
	// it begins with "@"; empty is none. A bottle cannot reach it, and peers of
	// any uid but ControlUID (SO_PEERCRED) are turned away.
	Control    string `json:"control,omitempty"`
	ControlUID int    `json:"controlUID,omitempty"`
	// OnHost says that the gateway's other leg is the host's own network, where
	// the launcher has canaries: the gateway has none.
	OnHost bool `json:"onHost,omitempty"`
	// CA is the run's authority, by which the gateway inspects TLS; the zero
	// value inspects nothing. This frame is the only place of its key.
	CA keys.Authority `json:"ca,omitzero"`
	// SystemRoots are the host's roots, PEM, for a gateway that inspects and
	// has none of its own. The policy's come on top.
	SystemRoots string `json:"systemRoots,omitempty"`
	// Secrets are the run's brokered ones. This frame is the only place of
	// their values on the way, but for logins that are renewed later (Renewed,
	// Turn).
	Secrets []keys.Secret `json:"secrets,omitempty"`
	// Watch are values that must not leave in clear, beside those of the
	// policy's table. This frame is the only place of them on the way.
	Watch []Watched `json:"watch,omitempty"`
	// Attached ends the gateway when the stream that carried this ends.
	Attached bool `json:"attached"`
	// Word puts the gateway on trial until Settle: nothing leaves, nothing is
	// recorded, and canaries say the word. Empty is no trial.
	Word string `json:"word,omitempty"`
}

// Watched is a value that is readable inside a bottle, or a decoy that nobody
// has a use for. It prints as its name.
type Watched struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
	Decoy bool   `json:"decoy,omitempty"`
}

// String hides the value.
func (w Watched) String() string { return "value of " + w.Name }

// Format is String, whatever the verb.
func (w Watched) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, w.String()) }

// Hosted is a program that is the gateway of a bottle in place of our own. It
// listens on GatewayBoot.Ports.Proxy.
type Hosted struct {
	// Name is for messages.
	Name string  `json:"name"`
	Argv Strings `json:"argv"`
	// Health is the path that it answers with 200 when it is ready.
	Health string `json:"health"`
	// Log is the file that all that it says goes to, within a bound.
	Log string `json:"log"`
}

// Ports are the gateway's listeners; 0 is one that is not there.
type Ports struct {
	Proxy int `json:"proxy"`           // HTTP and SOCKS5, told apart by the first byte
	SOCKS int `json:"socks,omitempty"` // the same, where SOCKS is looked for
	DNS   int `json:"dns,omitempty"`
	HTTP  int `json:"http,omitempty"` // plain, by Host
	TLS   int `json:"tls,omitempty"`  // plain, by SNI
}

// StandardPorts are those of a bottle.
var StandardPorts = Ports{Proxy: 3128, SOCKS: 1080, DNS: 53, HTTP: 80, TLS: 443}

// All are the ports that are there.
func (p Ports) All() []int {
	all := []int{p.Proxy, p.DNS, p.HTTP, p.TLS, p.SOCKS}
	return slices.DeleteFunc(all, func(port int) bool { return port == 0 })
}

// Start asks the guest to run one process.
type Start struct {
	Argv Strings `json:"argv"`
	// Env is NAME=value over the environment of the boot frame.
	Env Strings `json:"env,omitempty"`
	Dir string  `json:"dir,omitempty"` // default: the guest's own
	// Terminal gives the process a pseudo-terminal of Size; its output is
	// then all Stdout.
	Terminal bool `json:"terminal,omitempty"`
	Size     Size `json:"size"`
	// Secrets adds the boot frame's secrets, once.
	Secrets bool `json:"secrets,omitempty"`
}

// Size is a terminal's, in character cells.
type Size struct {
	Rows uint16 `json:"rows"`
	Cols uint16 `json:"cols"`
}

// Exit is how a process ended: Code 0 to 255; 128+n when signal n ended it;
// 126 when it could not be executed and 127 when it was not found, as
// docker exec has it, then with Message.
type Exit struct {
	Code    int    `json:"code"`
	Message string `json:"message,omitempty"`
}
