package bottletest

import (
	"errors"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// Doors gathers what launches say that each had a door open on purpose. The
// zero value has seen none.
type Doors struct {
	mu   sync.Mutex // guards seen
	seen map[string]bool
}

// Open wants a launch to have failed because of its doors, with a hint, and
// returns those of want that it says nothing about: each is a check as Check
// writes it, whole.
func (d *Doors) Open(t *testing.T, launch error, want []string) (missing []string) {
	t.Helper()
	var failure *probe.Failure
	if !errors.As(launch, &failure) || hint.Of(launch) == "" {
		t.Fatalf("launch: %v, hint %q", launch, hint.Of(launch))
	}
	found := map[string]string{}
	for _, f := range failure.Findings {
		found[Check(f)] = f.Detail
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.seen == nil {
		d.seen = map[string]bool{}
	}
	for _, check := range slices.Sorted(maps.Keys(found)) {
		d.seen[check] = true
		t.Logf("%s: %s", check, found[check])
	}
	return slices.DeleteFunc(slices.Clone(want), func(check string) bool { return found[check] != "" })
}

// Cover wants each check of a launch in which all was closed to have been seen
// open in one of doors. Those that cannot be opened are in sealed, each with the
// reason; a reason for one that was is an error too.
func Cover(t *testing.T, closed probe.Verdict, sealed map[string]string, doors ...*Doors) {
	t.Helper()
	checks := map[string]bool{}
	for _, f := range closed.Findings {
		checks[Check(f)] = true
	}
	for _, check := range slices.Sorted(maps.Keys(checks)) {
		seen := slices.ContainsFunc(doors, func(d *Doors) bool { return d.saw(check) })
		switch {
		case !seen && sealed[check] == "":
			t.Errorf("no launch saw this open: %q", check)
		case seen && sealed[check] != "":
			t.Errorf("%q was open, and is declared to be sealed: %s", check, sealed[check])
		}
	}
	for check := range sealed {
		if !checks[check] {
			t.Errorf("no launch checks %q, which is declared to be sealed", check)
		}
	}
}

func (d *Doors) saw(check string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen[check]
}

var (
	withPort = regexp.MustCompile(`(\[[^\]]+\]|[0-9]+(?:\.[0-9]+){3}):[0-9]+`)
	bare     = regexp.MustCompile(`\b[0-9]+(?:\.[0-9]+){3}\b`)
	numbers  = regexp.MustCompile(`\b(uid|gid) [0-9]+`)
	runDir   = regexp.MustCompile(`/\S*/runs/[^/ ]+/`)
)

// Check is what a finding is about: its kind and its target. Of what differs
// from launch to launch it has the sort: HOST for an address, HOST6 for one of
// IPv6, N for a user, RUN for the run's directory. Addresses that mean the same everywhere stay.
func Check(f wire.Finding) string {
	target := withPort.ReplaceAllStringFunc(f.Target, func(at string) string { return sort(at[:strings.LastIndex(at, ":")]) })
	target = bare.ReplaceAllStringFunc(target, sort)
	target = runDir.ReplaceAllString(target, "RUN/")
	return f.Kind + ": " + numbers.ReplaceAllString(target, "$1 N")
}

func sort(text string) string {
	address, err := netip.ParseAddr(strings.Trim(text, "[]"))
	switch {
	case err != nil:
		return text
	case address.Is6():
		return "HOST6"
	case address.IsMulticast(), address.IsLoopback(), address == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return address.String()
	}
	return "HOST"
}
