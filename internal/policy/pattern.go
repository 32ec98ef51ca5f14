package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// entry is one compiled [Allow] or [Rule].
type entry struct {
	below   bool   // "*.name": every name below, not name itself
	host    string // normalised
	port    int    // 0 for 80 and 443, or for every port where it denies
	methods []string
	paths   []glob
	deny    bool
	tcp     bool
	inspect string // empty when it says nothing
	budget  int64
	scan    string // empty when it says nothing
	harness bool
	source  string
	preset  string

	index int    // in Egress.Rules
	name  string // in decisions and in the record
}

// text is the entry as a person would write it in a manifest.
func (e *entry) text() string {
	if e.port == 0 {
		return e.pattern()
	}
	return listing(e.pattern(), e.port)
}

// pattern is the entry's host as a person would write it.
func (e *entry) pattern() string {
	if e.below {
		return "*." + e.host
	}
	return e.host
}

func (e *entry) takes(port int) bool {
	if e.port != 0 {
		return port == e.port
	}
	return e.deny || port == 80 || port == 443
}

// ports is for people.
func (e *entry) ports() string {
	if e.port != 0 {
		return "port " + strconv.Itoa(e.port)
	}
	return "ports 80 and 443"
}

// before orders entries so that the one that decides does not depend on the
// order of the manifest: the most specific first, and of two that say the
// same the one with the smaller budget.
func (e *entry) before(o *entry) int {
	return cmp.Or(
		compareBool(e.below, o.below),
		-cmp.Compare(len(e.host), len(o.host)),
		cmp.Compare(e.host, o.host),
		-cmp.Compare(e.depth(), o.depth()),
		compareBool(len(e.methods) == 0, len(o.methods) == 0),
		compareBool(e.port == 0, o.port == 0),
		cmp.Compare(e.port, o.port),
		compareBool(e.budget == 0, o.budget == 0),
		cmp.Compare(e.budget, o.budget),
		cmp.Compare(e.source, o.source),
		cmp.Compare(e.identity(), o.identity()),
	)
}

// depth is the length of the longest path; 0 without any.
func (e *entry) depth() int {
	longest := 0
	for _, g := range e.paths {
		longest = max(longest, len(g.text))
	}
	return longest
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

func parseAllow(a Allow) (entry, error) {
	e := entry{source: a.Source, harness: a.Harness}
	text := a.Host
	if strings.Contains(text, "/") {
		return entry{}, fmt.Errorf("allowlist entry %q: a host, not a URL or a range, is wanted", clip(text))
	}
	host, port, err := splitPort(text)
	if err != nil {
		return entry{}, fmt.Errorf("allowlist entry %q: %w", clip(text), err)
	}
	e.port = port
	if err := e.setHost(host); err != nil {
		return entry{}, fmt.Errorf("allowlist entry %q: %w", clip(text), err)
	}
	return e, nil
}

// splitPort takes "host", "host:port", "[v6]", "[v6]:port" and a bare v6
// address apart; port is 0 where there is none.
func splitPort(s string) (host string, port int, err error) {
	colon := strings.LastIndexByte(s, ':')
	switch {
	case colon < 0, strings.HasSuffix(s, "]"):
		return s, 0, nil
	case s[0] != '[' && strings.Count(s, ":") > 1:
		return s, 0, nil
	case s[0] == '[' && s[colon-1] != ']':
		return "", 0, errHostForm
	}
	port, err = ParsePort(s[colon+1:])
	return s[:colon], port, err
}

var errPort = errors.New("the port is not a number from 1 to 65535")

// ParsePort reads a port as digits alone, 1 to 65535.
func ParsePort(s string) (int, error) {
	if s == "" || len(s) > 5 || strings.Trim(s, "0123456789") != "" {
		return 0, errPort
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, errPort
	}
	return n, nil
}

// listing is host:port as an allowlist entry has it, brackets included.
func listing(host string, port int) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(port)
}

// literalAddress says whether a normalised host is an address.
func literalAddress(host string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(host)
	return addr, err == nil
}

// clip bounds what of somebody's text goes into a message.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "..."
	}
	return s
}
