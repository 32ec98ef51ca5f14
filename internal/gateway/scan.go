package gateway

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
)

// watch is what a gateway looks for in what leaves in clear: the run's own
// secrets, decoys, and credentials of others by the forms of package scan. It
// sees names, requests that no TLS hides or whose TLS it opened, and nothing
// of what it splices.
type watch struct {
	now   atomic.Pointer[lookout]
	terms policy.Scan
	// readable are the names of values that programs inside authenticate with.
	readable map[string]bool

	// values are all that is looked for from the beginning, where secrets are
	// renewed, and fresh those that they are renewed with.
	values   []scan.Value
	renewing sync.Mutex // guards fresh
	fresh    []scan.Value

	mu    sync.Mutex // guards the rest
	noted map[string]struct{}
	known map[string]struct{} // names that were reached
}

// Bounds of what a watch remembers of a run. What does not fit is recorded
// again, or counts as never seen.
const (
	maxNoted = 4096
	maxKnown = 4096
)

// ruleScan is the rule of what holds a secret, and ruleDecoy of what is refused
// since a decoy was on its way out.
const (
	ruleScan  = "scan"
	ruleDecoy = "decoy"
)

// newWatch is one that looks for nothing yet. The values of those names are
// readable inside.
func newWatch(readable map[string]bool, terms policy.Scan) *watch {
	return &watch{readable: readable, terms: terms, noted: map[string]struct{}{}, known: map[string]struct{}{}}
}

// place is where in what leaves something was seen, in words.
type place string

const (
	inURL        place = "the URL"
	inHeader     place = "a header"
	inCredential place = "a header for credentials"
	inBody       place = "the body"
	inTrailer    place = "a trailer"
	inMessage    place = "a WebSocket message"
	inName       place = "the name"
)

// sighting is something that was seen, and where.
type sighting struct {
	scan.Finding
	at    place
	field string // the header's name
	index int    // of the field
	split bool   // over several values
}

// reason is a sighting in words, without a byte of it. encoding/kind and name
// are ours.
func (s sighting) reason() string {
	where := string(s.at)
	if s.field != "" {
		where = "header " + s.field
	}
	what := "a credential (" + s.Name + ")"
	switch s.Kind {
	case scan.Secret:
		what = "the secret " + s.Name
	case scan.Placeholder:
		what = "the placeholder of " + s.Name
	case scan.Canary:
		what = "the decoy " + s.Name
	case scan.Credential:
	}
	if s.Encoding != "" && s.Encoding != scan.Text {
		what += " in " + string(s.Encoding)
	}
	if s.split {
		what += ", in pieces"
	}
	return where + " holds " + what
}

// bearing is what of a decision tells what may be in what it allows.
type bearing struct {
	policy.Decision
	port   int
	secure bool // over TLS whose certificate is verified
}

// action is what becomes of a sighting.
type action int

const (
	pass action = iota
	note
	redact
	block
	seal // ends the run's egress
)

// act decides. docs/secrets.md has this as a table (TestActions).
func (w *watch) act(s sighting, b bearing) action {
	mode := b.Scan
	switch s.Kind {
	case scan.Canary:
		if b.Harness && s.at == inBody {
			return redact // an agent may look at what lies around
		}
		return seal
	case scan.Placeholder:
		if s.at != inBody && s.at != inMessage {
			return pass // the broker's to decide
		}
		return own(mode, b.Harness, note)
	case scan.Secret:
		readable := w.readable[s.Name]
		switch {
		case !readable:
			return own(mode, b.Harness, block)
		case s.at == inCredential && b.secure && (b.Harness || !b.Wildcard && mode == ""):
			return note // what it is for
		}
		return own(mode, b.Harness, note)
	default:
		if mode == policy.ScanBlock || mode == policy.ScanRedact {
			return own(mode, false, note)
		}
		return note
	}
}

// own is what a mode means for the run's own secrets.
func own(mode string, harness bool, warned action) action {
	switch {
	case mode == policy.ScanBlock:
		return block
	case mode == policy.ScanRedact, mode == "" && harness:
		return redact
	case mode == policy.ScanWarn:
		return warned
	default:
		return block
	}
}

// found refuses what holds a sighting.
func found(s sighting, b bearing) *refusal {
	d := policy.Decision{Host: b.Host, Rule: ruleScan, Reason: s.reason()}
	if s.Kind == scan.Credential {
		d.Remedy = fmt.Sprintf("egress: {rules: [{host: %s, scan: %s}]}", b.Host, policy.ScanWarn)
	}
	return &refusal{status: http.StatusForbidden, outcome: audit.Denied, port: b.port, decision: d}
}

// unscanned refuses what cannot be looked at.
func unscanned(b bearing, reason string) *refusal {
	return &refusal{
		status: http.StatusForbidden, outcome: audit.Denied, port: b.port,
		decision: policy.Decision{Host: b.Host, Rule: ruleScan, Reason: reason},
	}
}

// blind refuses everything of a gateway whose scanner cannot be built.
func blind(err error) *refusal {
	return &refusal{
		status: http.StatusServiceUnavailable, outcome: audit.Denied, cause: err,
		decision: policy.Decision{Rule: ruleScan, Reason: "what leaves cannot be scanned for secrets: " + err.Error()},
	}
}

// handle acts on a sighting in what was asked for, on the way of p where that
// is not nil: no refusal lets it leave, with asterisks in its place when hide
// says so.
func (s *server) handle(asked policy.Request, p *passage, seen sighting, b bearing) (hide bool, refused *refusal) {
	switch s.watch.act(seen, b) {
	case pass:
		return false, nil
	case note:
		return false, s.noteOnce(asked, seen, "let through: ")
	case redact:
		if !seen.hideable() {
			return false, found(seen, b)
		}
		return true, s.noteOnce(asked, seen, "redacted: ")
	case seal:
		return false, s.seal(p, seen, b)
	default:
		return false, found(seen, b)
	}
}

// asked is what a passage was asked for, with the name that was decided about.
func (p *passage) asked() policy.Request {
	r := p.request
	r.Host, r.Port = p.host, p.port
	return r
}

// hideable says whether asterisks can stand in a sighting's place.
func (s sighting) hideable() bool {
	return !s.split && (s.at == inBody || s.at == inHeader || s.at == inCredential)
}

// noteOnce records a sighting that is let through, the first time that it is
// seen in that place towards that host.
func (s *server) noteOnce(r policy.Request, seen sighting, what string) *refusal {
	if !s.watch.first(fmt.Sprint(r.Host, seen.at, seen.Kind, seen.Name, seen.Encoding, what)) {
		return nil
	}
	return s.journal.append(audit.Event{
		Kind: audit.Found, Host: r.Host, Port: r.Port, Method: r.Method, Path: r.Path,
		Decision: audit.Allowed, Rule: ruleScan, Reason: what + seen.reason(),
	})
}

func (w *watch) first(key string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, again := w.noted[key]
	if !again && len(w.noted) < maxNoted {
		w.noted[key] = struct{}{}
	}
	return !again
}

// bearing is that of what p lets through.
func (p *passage) bearing(secure bool) bearing {
	return bearing{Decision: p.decision, port: p.port, secure: secure}
}
