package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
)

// newBroker is the broker of a run, nil when it has no secret. What the policy
// says of secrets and what there is of them must agree: a host whose TLS is
// opened for a secret that is not there, or the reverse, would go wrong in
// silence.
func newBroker(said []policy.Secret, held []broker.Secret) (*broker.Broker, error) {
	for _, s := range said {
		if !slices.ContainsFunc(held, func(h broker.Secret) bool { return sameTerms(h.Entry, s) }) {
			return nil, fmt.Errorf("secret %s: the policy has it, and its value is missing", s.Name)
		}
	}
	for _, h := range held {
		if !slices.ContainsFunc(said, func(s policy.Secret) bool { return sameTerms(h.Entry, s) }) {
			return nil, fmt.Errorf("secret %s: the policy does not have it", h.Name)
		}
	}
	if len(held) == 0 {
		return nil, nil //nolint:nilnil // a run without secrets is a run
	}
	return broker.New(held)
}

// sameTerms compares all but the name: one value may have several.
func sameTerms(a, b policy.Secret) bool {
	a.Name = b.Name
	return reflect.DeepEqual(a, b)
}

// withheld is why a request does not leave, by the words of the broker.
func withheld(host string, port int, why *broker.Refusal) *refusal {
	refused := denied(policy.Decision{Host: host, Rule: why.Rule(), Reason: why.Error()}, port)
	if why.Challenge {
		refused.status, refused.challenge = http.StatusUnauthorized, true
	}
	return refused
}

// concerns says whether a secret is for a place, so that what comes from there
// may hold it.
func (s *server) concerns(to authority) bool {
	return s.broker != nil && s.broker.Concerns(to.host, to.port)
}

// mediated is what the broker made of a request.
type mediated struct {
	path string
	used []string
	// body takes the place of the request's, which was read to be hashed.
	body []byte
	read bool
	// through is what the body passes, if it is not nil.
	through filter
	// echo says that the answer may hold a secret.
	echo bool
}

// mediate has the broker decide about a request and put secrets in. header is
// what goes on, without the fields of this hop. read gives the whole body,
// where a signature covers it.
func (s *server) mediate(ctx context.Context, p policy.Request, to authority, path string, header http.Header, secure bool, read func() ([]byte, error)) (mediated, http.Header, *refusal) {
	out := mediated{path: path, echo: s.concerns(to)}
	raw, query, asked := strings.Cut(path, "?")
	r := broker.Request{
		Verified: secure, Method: p.Method, Host: to.host, Port: to.port, Path: raw, RawQuery: query, Header: header,
	}
	if raw == "*" { // RFC 9112, 3.2.4: of the server as a whole
		r.Path = "/"
	}
	if out.echo { // what is compressed within frames cannot be searched
		maps.DeleteFunc(header, func(name string, _ []string) bool { return strings.EqualFold(name, "Sec-WebSocket-Extensions") })
	}
	s.awaitFresh(ctx, to)
	result, err := s.broker.Apply(r)
	if errors.Is(err, broker.ErrNeedBody) {
		var refused *refusal
		if out.body, refused = s.hold(to, read); refused != nil {
			return out, nil, refused
		}
		out.read, r.PayloadHash = true, payloadHash(out.body)
		result, err = s.broker.Apply(r)
	}
	if err != nil {
		why := new(broker.Refusal)
		if !errors.As(err, &why) {
			why = &broker.Refusal{Reason: "what it signs cannot be read"}
		}
		return out, nil, withheld(to.host, to.port, why)
	}
	if asked {
		out.path = raw + "?" + result.RawQuery
	}
	if result.Chunks != nil {
		if len(s.signing) == cap(s.signing) {
			return out, nil, tooManyHeld(to)
		}
		out.through = s.signChunks(to, result.Chunks)
	}
	out.used = result.Used
	return out, result.Header, nil
}

// mediateRequest is mediate for HTTP/1: it returns the request as it goes on,
// and as it is where the run has no secrets.
func (c *session) mediateRequest(ctx context.Context, p policy.Request, r request, to authority, path string, body framing) (request, mediated, *refusal) {
	if c.broker == nil {
		return r, mediated{path: path}, nil
	}
	header := http.Header{}
	for _, f := range r.fields {
		if r.fields.goesOn(f) || f.is("content-length") { // a signature may cover the length
			header[f.name] = append(header[f.name], f.value) // as it is written: a name can hold a placeholder
		}
	}
	m, header, refused := c.mediate(ctx, p, to, path, header, c.way.secure, func() ([]byte, error) { return c.readBody(r, body) })
	if refused == nil {
		if m.read {
			header.Del("Expect") // it was asked for
		}
		r.fields = r.fields.replaced(header)
	}
	return r, m, refused
}

// replaced is fs with the values of h, in the order and spelling of fs; what h
// does not have goes, and what fs does not have comes last.
func (fs fields) replaced(h http.Header) fields {
	left := h.Clone()
	left.Del("Content-Length")
	out := make(fields, 0, len(fs)+1)
	for _, f := range fs {
		if !fs.goesOn(f) {
			out = append(out, f)
			continue
		}
		key := http.CanonicalHeaderKey(f.name)
		if values := left[key]; len(values) > 0 {
			out = append(out, field{f.name, values[0]})
			left[key] = values[1:]
		}
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		for _, value := range left[key] {
			out = append(out, field{key, value})
		}
	}
	return out
}

// uncoded refuses an answer in a coding that cannot be looked into.
func uncoded(to authority, coding string) *refusal {
	return &refusal{
		status: http.StatusBadGateway, outcome: audit.Failed, port: to.port,
		decision: policy.Decision{Host: to.host, Rule: broker.RuleCredentials, Reason: fmt.Sprintf(
			"the answer is in a coding (%.20q) that cannot be searched for the secret that was sent, though it was asked for in none", coding)},
	}
}
