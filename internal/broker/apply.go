package broker

import (
	"maps"
	"net/http"
	"slices"
	"strings"
)

// Request is the head of a request, of a connection that the gateway has
// terminated, or of one without TLS.
type Request struct {
	// Verified says that it goes on over TLS whose certificate is checked.
	Verified bool
	Method   string
	Host     string // normalised
	Port     int
	Path     string // as on the wire, without the query
	RawQuery string
	Header   http.Header // without Host and the fields of one hop
	// Userinfo says that the target had one ("//user:password@host").
	Userinfo bool
	// PayloadHash is the SHA-256 of the body in hexadecimal, where Apply asked
	// for it by [ErrNeedBody].
	PayloadHash string
}

// Result is what goes on in place of the request's parts.
type Result struct {
	Header   http.Header
	RawQuery string
	// Used are the names of the secrets that are in it.
	Used []string
	// Chunks, when it is not nil, signs the chunks of the body, which must
	// pass through it.
	Chunks *ChunkSigner
}

// Refusal is why a request does not leave. It holds no value of a secret, no
// placeholder, and nothing of the request but names of headers.
type Refusal struct {
	Secret string // its name; empty where none is to blame
	Reason string
	// Challenge says that a client may go on by itself when it is asked for
	// the password of Basic, as git, pip and registries' clients do, which
	// bring nothing until somebody asks.
	Challenge bool
}

// Error is the reason, for the record and for whoever is refused.
func (r *Refusal) Error() string {
	if r.Secret == "" {
		return r.Reason
	}
	return "secret " + r.Secret + ": " + r.Reason
}

// RuleCredentials is the rule of what is refused for the credentials that it
// brings or lacks, where no secret is to blame.
const RuleCredentials = "credentials"

// Rule names what refused: the secret, or RuleCredentials.
func (r *Refusal) Rule() string {
	if r.Secret == "" {
		return RuleCredentials
	}
	return "secret " + r.Secret
}

// attempt is one request on its way through Apply.
type attempt struct {
	b    *Broker
	r    Request
	mine []*secret
	out  Result
	// rest is what of the header no placeholder explains.
	rest   http.Header
	used   []*secret
	signed map[string]bool // headers that sign has dealt with
	names  []string        // of the header, as they came
}

// Apply decides on a request and puts the values where their placeholders
// are. The error is a *[Refusal], or [ErrNeedBody]. The request's header is
// left as it is.
//
// A placeholder is replaced in a whole header value, alone or behind a
// scheme, or as the password of Basic. It is a refusal at another host or
// path, without TLS, in a URL or a cookie, twice in one header, or as part of anything else
// (TestPlaces). Towards a host with a secret, a request must carry it and no
// credential beside it, so that nobody can be talked into using another
// account (TestPinning).
func (b *Broker) Apply(r Request) (Result, error) {
	a := &attempt{b: b, r: r, mine: b.of(r.Host, r.Port), rest: http.Header{}}
	a.names, a.r.Header = slices.Sorted(maps.Keys(r.Header)), canonicalHeader(r.Header)
	a.out = Result{Header: a.r.Header.Clone(), RawQuery: r.RawQuery}
	if len(a.mine) > 0 {
		a.askPlain()
	}
	for _, step := range []func() error{a.traced, a.sign, a.headers, a.query, a.leftovers, a.places, a.pinned} {
		if err := step(); err != nil {
			return Result{}, err
		}
	}
	for _, s := range a.used {
		a.out.Used = append(a.out.Used, s.Name)
	}
	a.askWhole()
	return a.out, nil
}

// traced refuses TRACE (RFC 9110, 9.3.8) towards a host with a secret.
func (a *attempt) traced() error {
	if len(a.mine) > 0 && a.r.Method == http.MethodTrace {
		return &Refusal{Reason: "TRACE answers with the request's own header, which holds the secret"}
	}
	return nil
}

// askPlain asks for an answer that can be searched for an echo of the value.
func (a *attempt) askPlain() {
	a.out.Header.Set("Accept-Encoding", "identity")
	if len(a.out.Header["Grpc-Accept-Encoding"]) > 0 {
		a.out.Header.Set("Grpc-Accept-Encoding", "identity")
	}
}

// askWhole asks for no slice of an answer: pieces of an echo that are too small
// to know could be put together, also of one that was kept and is asked for
// without the secret. A server may ignore these fields, and so may we
// (RFC 9110, 14.2). The other names are those of old servers and of Azure.
func (a *attempt) askWhole() {
	signs := func(s *secret) bool { return s.SigV4 }
	if slices.ContainsFunc(a.used, signs) || !slices.ContainsFunc(a.mine, func(s *secret) bool { return !signs(s) }) {
		return // nothing secret is sent, and a signature may cover these
	}
	for _, name := range []string{"Range", "If-Range", "Request-Range", "X-Ms-Range"} {
		a.out.Header.Del(name)
	}
}

// canonicalHeader is h with every name in one spelling, so that a field cannot
// hide from a look at its name.
func canonicalHeader(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		key := http.CanonicalHeaderKey(name)
		out[key] = append(out[key], h[name]...)
	}
	return out
}

// use notes that a secret is in the request, once.
func (a *attempt) use(s *secret) error {
	if slices.Contains(a.used, s) {
		return &Refusal{Secret: s.Name, Reason: "its placeholder is there twice"}
	}
	a.used = append(a.used, s)
	return nil
}

// headers replaces placeholders in headers; what is left goes to rest.
func (a *attempt) headers() error {
	for name, values := range a.r.Header {
		if a.signed[name] {
			continue
		}
		for _, value := range values {
			s, replaced := a.header(name, value)
			if s == nil {
				a.rest[name] = append(a.rest[name], value)
				continue
			}
			if len(values) > 1 {
				return &Refusal{Secret: s.Name, Reason: "header " + name + " is there twice"}
			}
			// Two headers may hold it, each as a whole: Claude Code says its key
			// in both that its server takes.
			if !slices.Contains(a.used, s) {
				a.used = append(a.used, s)
			}
			a.out.Header[name] = []string{replaced}
		}
	}
	return nil
}

// header is the secret whose placeholder a header's value is, and the value
// with the secret in its place.
func (a *attempt) header(name, value string) (*secret, string) {
	for _, s := range a.mine {
		if s.SigV4 || s.Query != "" || !s.goesIn(name) {
			continue
		}
		if replaced, ok := s.replace(name, value); ok {
			return s, replaced
		}
	}
	return nil, ""
}

// goesIn says whether the secret may be in a header. What stores of objects
// keep beside an object, and give to whoever may read that (x-amz-meta-…), is
// for no credential, whatever its name goes on with.
func (s *secret) goesIn(name string) bool {
	if s.Header != "" {
		return strings.EqualFold(name, s.Header)
	}
	return forCredentials(name) && !holdsAny(name, "cookie", "session", "-meta-")
}

// leftovers refuses a placeholder in whatever was not replaced.
func (a *attempt) leftovers() error {
	host := a.r.Host
	pieces := append([]string{a.r.Method, host, a.r.Path}, a.names...)
	for pair := range strings.SplitSeq(a.r.RawQuery, "&") {
		if name, _, _ := strings.Cut(pair, "="); !a.takesQuery(name) {
			pieces = append(pieces, pair)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(a.rest)) {
		pieces = append(pieces, a.rest[name]...)
	}
	found, err := a.b.leftover(pieces)
	if err != nil {
		return &Refusal{Reason: "the secrets cannot be looked for: " + err.Error()}
	}
	if found != "" {
		reason := "its placeholder is in a place where it is never replaced"
		if !slices.ContainsFunc(a.mine, func(s *secret) bool { return s.Name == found }) {
			reason = "its placeholder is not for " + host
		}
		return &Refusal{Secret: found, Reason: reason}
	}
	return nil
}

// leftover is the name of a secret whose placeholder is in one of pieces, or
// in all of them together.
func (b *Broker) leftover(pieces []string) (string, error) {
	inside, err := b.inside()
	if err != nil {
		return "", err
	}
	joined, single := inside.Stream(), inside.Stream()
	for _, piece := range pieces {
		for _, f := range single.Write([]byte(piece)) {
			return f.Name, nil
		}
		single.Close()
		for _, f := range joined.Write([]byte(piece)) {
			return f.Name, nil
		}
	}
	return "", nil
}

// allows says whether one of the secret's paths is that of segments.
func (s *secret) allows(segments []string) bool {
	return slices.ContainsFunc(s.paths, func(p pathPattern) bool { return p.match(segments) })
}

// places checks that each secret is used where it may be.
func (a *attempt) places() error {
	if len(a.mine) == 0 {
		return nil
	}
	if len(a.used) > 0 && !a.r.Verified {
		return &Refusal{Secret: a.used[0].Name, Reason: "it goes over verified TLS only"}
	}
	segments, split, err := readPath(a.r.Path)
	if err != nil {
		return &Refusal{Reason: err.Error()}
	}
	for name := range a.r.Header {
		switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) { // many servers take both for one
		case "x-original-url", "x-rewrite-url":
			if len(a.used) > 0 {
				return &Refusal{Secret: a.used[0].Name, Reason: "header " + name + " can change the path that was checked"}
			}
		}
	}
	if source, ok := a.b.minting(a.r.Host, segments, split); ok && len(a.used) > 0 {
		return &Refusal{Secret: a.used[0].Name, Reason: "this path gives out new credentials (" + source + ")"}
	}
	for _, s := range a.used {
		if len(s.paths) == 0 {
			continue
		}
		if len(a.r.Header["X-Http-Method-Override"]) > 0 {
			return &Refusal{Secret: s.Name, Reason: "header X-Http-Method-Override can change what was checked"}
		}
		if split != nil && !s.allows(split) { // both readings must be allowed
			return &Refusal{Secret: s.Name, Reason: errSeparator.Error()}
		}
		if !s.allows(segments) {
			return &Refusal{Secret: s.Name, Reason: "it is not for this path"}
		}
	}
	return nil
}
