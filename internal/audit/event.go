// Package audit is the record of what a bottle reached for and what was
// decided: writing it so that nothing leaves unrecorded, reading it although
// its content comes from a bottle, and summing it up per host.
//
// The record is one JSON object a line. What is complete when it is decided
// (a refusal, an answer to a DNS question) is one line. What lasts is two: an
// "open" line, written before the first byte leaves, so that whoever follows
// the record sees a tunnel when it begins, and a "close" line with the same id
// and the totals when it ends. An open line without a close line is a tunnel
// that is still open, or one that was when the gateway was killed.
package audit

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"claude-bottle/internal/policy"
)

// Phase is an event's place in what it belongs to.
type Phase string

// The phases; see the package comment.
const (
	Whole Phase = ""      // this line is all there is
	Open  Phase = "open"  // allowed, nothing sent yet
	Close Phase = "close" // over, with totals
)

// Outcome is what was decided.
type Outcome string

// The outcomes. Failed is allowed, but the way to it failed: upstream did not
// answer, or broke the protocol.
const (
	Allowed Outcome = "allow"
	Denied  Outcome = "deny"
	Failed  Outcome = "fail"
)

// Isolation is the kind of the line that says what the launch's probe found,
// before anything of the agent's ran. It is about no host.
const Isolation policy.Kind = "isolation"

// Change is the kind of the line that says that a person changed the policy of
// a bottle that runs. Its host is the rule's, and no request was made.
const Change policy.Kind = "change"

// Found is the kind of the line that says that a secret was seen in what was
// let through, or with asterisks in its place. It belongs to a request that has
// lines of its own.
const Found policy.Kind = "found"

// Event is one line of the record. It never holds a secret: no header, no
// query, no body.
type Event struct {
	Time time.Time `json:"time"`
	Run  string    `json:"run,omitempty"`
	// ID joins the open and the close line of one thing. It is unique within
	// one life of a gateway and never 0 for these.
	ID       uint64      `json:"id,omitempty"`
	Phase    Phase       `json:"phase,omitempty"`
	Kind     policy.Kind `json:"kind"`
	Host     string      `json:"host"`
	Port     int         `json:"port,omitempty"`
	Method   string      `json:"method,omitempty"`
	Path     string      `json:"path,omitempty"` // without query
	Decision Outcome     `json:"decision"`
	Rule     string      `json:"rule"`
	Reason   string      `json:"reason"`
	// Secrets are the names of those that the gateway put in, with commas
	// between them (close).
	Secrets string `json:"secrets,omitempty"`
	// Address is the one that was dialled (close) or is dialled first (open).
	Address string `json:"address,omitempty"`
	// Sent and Received are the bottle's bytes, as carried: request and
	// response with their heads for HTTP, the tunnelled stream otherwise.
	Sent     int64 `json:"sent,omitempty"`
	Received int64 `json:"received,omitempty"`
	// Duration is in seconds, of close lines.
	Duration float64 `json:"duration,omitempty"`
	// Repeats counts equal events since the last line like this one that were
	// not written one by one (DNS questions only).
	Repeats int `json:"repeats,omitempty"`
}

// Bounds of the strings of an event, in bytes before escaping, so that a
// bottle cannot make lines of any length.
const (
	maxHost   = 256
	maxMethod = 32
	maxPath   = 1024
	maxRule   = 512
	maxReason = 512
	// MaxLine is what no line of a record exceeds: every byte of every
	// string escaped, and the rest.
	MaxLine = 6*(2*maxHost+4*maxMethod+maxPath+maxRule+maxReason+maxRun) + 512
	maxRun  = 64
)

// bounded is e with every string cut to its bound and made printable.
func (e Event) bounded() Event {
	e.Time = e.Time.UTC()
	e.Run = printable(e.Run, maxRun)
	e.Phase = Phase(printable(string(e.Phase), maxMethod))
	e.Decision = Outcome(printable(string(e.Decision), maxMethod))
	e.Kind = policy.Kind(printable(string(e.Kind), maxMethod))
	e.Host = printable(e.Host, maxHost)
	e.Method = printable(e.Method, maxMethod)
	e.Path = printable(e.Path, maxPath)
	e.Rule = printable(e.Rule, maxRule)
	e.Reason = printable(e.Reason, maxReason)
	e.Address = printable(e.Address, maxHost)
	return e
}

// printable escapes what a terminal might obey (controls, C1 too, direction
// overrides) and what is not UTF-8, and cuts the result to most bytes.
func printable(s string, most int) string {
	if len(s) <= most && utf8.ValidString(s) && strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	const cut = "..."
	b := make([]byte, 0, min(most, 2*len(s)))
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		piece := s[:size]
		if r == utf8.RuneError && size == 1 || unprintable(r) {
			quoted := strconv.QuoteToASCII(piece)
			piece = quoted[1 : len(quoted)-1]
		}
		if len(b)+len(piece) > most-len(cut) {
			return string(b) + cut
		}
		b = append(b, piece...)
		s = s[size:]
	}
	return string(b)
}

func unprintable(r rune) bool { return !strconv.IsGraphic(r) }

// line is e as the record has it, newline included.
func (e Event) line() ([]byte, error) {
	b, err := json.Marshal(e.bounded())
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
