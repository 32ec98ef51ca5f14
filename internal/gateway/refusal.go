package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// refusal is an answer of the gateway's own: not allowed, not understood, or
// not reachable. It is an error to the code and a text to the bottle.
type refusal struct {
	status   int // of HTTP
	outcome  audit.Outcome
	port     int
	decision policy.Decision
	// challenge asks for credentials (RFC 9110, 11.6.1): a client that has the
	// placeholder and waits to be asked for it goes on.
	challenge bool
	cause     error // of a failure, where there is one; never shown
}

func (r *refusal) Error() string { return r.decision.Reason }

// malformed refuses a message for its form.
func malformed(reason string) *refusal {
	return &refusal{
		status: http.StatusBadRequest, outcome: audit.Denied,
		decision: policy.Decision{Rule: policy.RuleSyntax, Reason: reason},
	}
}

// denied refuses what d does not allow.
func denied(d policy.Decision, port int) *refusal {
	return &refusal{status: http.StatusForbidden, outcome: audit.Denied, port: port, decision: d}
}

// at fills in what the refused request was for, where it is not known yet.
func (r *refusal) at(host string, port int) *refusal {
	if r.decision.Host == "" {
		r.decision.Host, r.port = host, port
	}
	return r
}

// explanation is a refusal as JSON.
type explanation struct {
	Error  string `json:"error"`
	Host   string `json:"host,omitempty"`
	Port   int    `json:"port,omitempty"`
	Rule   string `json:"rule"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy,omitempty"`
}

// basicChallenge is what a challenge says.
const basicChallenge = `Basic realm="claude-bottle: the placeholder as the password", charset="UTF-8"`

// forbidden says that what was asked for may not be, where a way in has a word
// for that; false for what failed, and for what cannot be carried for now.
func (r *refusal) forbidden() bool {
	return r.outcome == audit.Denied && r.decision.Rule != ruleRecord && r.decision.Rule != ruleTrial
}

func (r *refusal) verb() string {
	if r.outcome == audit.Failed {
		return "failed"
	}
	return "refused"
}

// response is the refusal as an HTTP/1.1 response: JSON for who asks for it,
// else text. It ends the connection when closing is set.
func (r *refusal) response(accept string, head, closing bool) []byte {
	kind, body := r.content(accept)
	b := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", r.status, http.StatusText(r.status))
	b = fmt.Appendf(b, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n", kind)
	b = fmt.Appendf(b, "X-Claude-Bottle: %s\r\nContent-Length: %d\r\n", r.verb(), len(body))
	if r.challenge {
		b = append(b, "WWW-Authenticate: "+basicChallenge+"\r\n"...)
	}
	if closing {
		b = append(b, "Connection: close\r\n"...)
	}
	b = append(b, "\r\n"...)
	if !head {
		b = append(b, body...)
	}
	return b
}

// answerKind is what a client takes: what it says, and where it takes anything,
// what it sent. Publishing npm shows nothing of an answer that is not JSON, and
// does not ask for it.
func answerKind(accept, sent string) string {
	if accept = strings.TrimSpace(accept); accept == "" || accept == "*/*" {
		return sent
	}
	return accept
}

// content is the refusal's media type and body, by answerKind.
func (r *refusal) content(accept string) (kind, body string) {
	if strings.Contains(strings.ToLower(accept), "application/json") {
		return "application/json", r.json()
	}
	return "text/plain; charset=utf-8", r.text()
}

func (r *refusal) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "claude-bottle %s this: %s\n", r.verb(), r.decision.Reason)
	if r.decision.Host != "" {
		fmt.Fprintf(&b, "host: %s\n", r.hostText())
	}
	fmt.Fprintf(&b, "rule: %s\n", r.decision.Rule)
	if r.decision.Remedy != "" {
		fmt.Fprintf(&b, "A person can allow it, in the bottle's manifest: %s\n", r.decision.Remedy)
	}
	return b.String()
}

func (r *refusal) hostText() string {
	host := strings.Trim(strconv.QuoteToASCII(r.decision.Host), `"`)
	if r.port == 0 {
		return host
	}
	return host + ":" + strconv.Itoa(r.port)
}

func (r *refusal) json() string {
	b, err := json.Marshal(explanation{
		Error: r.verb() + " by claude-bottle", Host: r.decision.Host, Port: r.port,
		Rule: r.decision.Rule, Reason: r.decision.Reason, Remedy: r.decision.Remedy,
	})
	if err != nil { // strings and a number: cannot be
		return "{}"
	}
	return string(b) + "\n"
}
