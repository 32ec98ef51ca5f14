//go:build linux

package attacks

import (
	"bytes"
	"net/netip"
	"net/url"
	"os"
	"strings"
)

// Targets is what there is outside, as whoever started the bottle knows it.
// What is zero is not attacked: a bottle that anybody tries knows none of it.
type Targets struct {
	// Nonce is what every canary says, over any protocol.
	Nonce string `json:"nonce,omitempty"`
	// Host are canaries on the host's addresses, TCP and UDP on each.
	Host []netip.AddrPort `json:"host,omitempty"`
	// Neighbour are canaries in another bottle.
	Neighbour []netip.AddrPort `json:"neighbour,omitempty"`
	// Abstract are names of unix sockets without a file, of the host and of the
	// neighbour.
	Abstract []string `json:"abstract,omitempty"`
	// Metadata is the clouds' metadata service, as the test plays it.
	Metadata netip.AddrPort `json:"metadata,omitzero"`
	// Elsewhere answers on ports 80 and 443, and no rule names it.
	Elsewhere netip.Addr `json:"elsewhere,omitzero"`
	// ElsewhereName is a name of it that the policy does not know.
	ElsewhereName string `json:"elsewhereName,omitempty"`
	// NameServer is one that answers everything.
	NameServer netip.Addr `json:"nameServer,omitzero"`
	// Allowed is a name that the policy lets through, on ports 80 and 443, to a
	// host that says the nonce too.
	Allowed string `json:"allowed,omitempty"`
	// Wild is a domain of which the policy lets every name below through.
	Wild string `json:"wild,omitempty"`
	// Traps are allowed names that lead to what no bottle may reach: the host,
	// the metadata service, a private address.
	Traps []string `json:"traps,omitempty"`
	// Rebinding is an allowed name whose address changes from one question to
	// the next, to the host's and back.
	Rebinding string `json:"rebinding,omitempty"`
	// Files exist on the host and are none of the bottle's.
	Files []string `json:"files,omitempty"`
	// Marker is on the command line and in the environment of a process of the
	// host's.
	Marker string `json:"marker,omitempty"`
	// Setuid are programs that belong to root and have its bit.
	Setuid []string `json:"setuid,omitempty"`
	// Guest is the process id of the bottle's guest; 0 means 1.
	Guest int `json:"guest,omitempty"`
	// Gateway is its address; none means the one that the environment names.
	Gateway netip.Addr `json:"gateway,omitzero"`
	// Writable are directories that are the bottle's own, beside the usual.
	Writable []string `json:"writable,omitempty"`
}

// guest is the process that is the parent of all others in a bottle.
func (t Targets) guest() int {
	if t.Guest > 0 {
		return t.Guest
	}
	return 1
}

// proxy is the gateway's, as every program inside is told.
func (t Targets) proxy() (netip.AddrPort, bool) {
	for _, name := range []string{"HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"} {
		at, err := url.Parse(os.Getenv(name))
		if err != nil {
			continue
		}
		if address, err := netip.ParseAddrPort(at.Host); err == nil {
			return address, true
		}
	}
	return netip.AddrPort{}, false
}

// gateway is its address.
func (t Targets) gateway() (netip.Addr, bool) {
	if t.Gateway.IsValid() {
		return t.Gateway, true
	}
	proxy, ok := t.proxy()
	return proxy.Addr(), ok
}

// says looks for the nonce in what came back.
func (t Targets) says(answer []byte) bool {
	return t.Nonce != "" && bytes.Contains(answer, []byte(t.Nonce))
}

// named puts names where a message has ALLOWED and ELSEWHERE.
func (t Targets) named(message string) string {
	return strings.NewReplacer("ALLOWED", t.Allowed, "ELSEWHERE", t.ElsewhereName).Replace(message)
}
