package gateway

import (
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
)

// gate lets a body through as far as it was looked at; a [scan.Gate], or a
// [scan.Coded].
type gate interface {
	io.Writer
	Holds() bool
	Pause() error
	Close() error
}

// stopper is given up with a body that is not closed; a [scan.Coded], or a
// [packed].
type stopper interface{ Stop() }

// guardPatience is how long a client may have nothing to say before it counts
// as waiting for an answer to what it has said.
const guardPatience = 20 * time.Millisecond

// guard looks at the body and trailers of one request on their way out.
type guard struct {
	gate
	server  *server
	pass    *passage
	bearing bearing
	coded   stopper  // the gate, of a body that is decoded; else nil
	whole   bool     // nothing can be put in place of a part
	refused *refusal // why it goes no further
	out     io.Writer
	outErr  error // of out
	// fields are looked at for other credentials, where a secret goes.
	fields *broker.Fields
}

// Write looks at p, and lets out what is certain.
func (g *guard) Write(p []byte) (int, error) {
	if err := g.fields.See(p); err != nil {
		if why := new(broker.Refusal); g.refused == nil && errors.As(err, &why) {
			g.refused = withheld(g.bearing.Host, g.bearing.port, why)
		}
		return 0, err
	}
	return g.gate.Write(p)
}

// reasonCoding is why a body in a coding that nobody here knows is refused.
const reasonCoding = "the body is in the content coding %s, in which it cannot be scanned for secrets; send it in gzip, deflate or none"

// reasonPacking is the same of messages that are compressed one by one.
const reasonPacking = "the body's messages are in the coding %s, in which they cannot be scanned for secrets; send them in gzip, deflate or none"

// guard makes the guard of a request's body, which writes to what out is set
// to. A coding that nothing here can open is refused, or only recorded where
// the mode says warn.
func (s *server) guard(p *passage, form bodyForm, secure bool) (*guard, *refusal) {
	scanner, err := s.watch.scanner()
	if err != nil {
		return nil, blind(err)
	}
	g := &guard{server: s, pass: p, bearing: p.bearing(secure)}
	unknown, reason := g.open(scanner, form)
	switch {
	case unknown == "":
		return g, nil
	case g.bearing.Scan != policy.ScanWarn:
		return nil, unscanned(g.bearing, strings.Replace(reason, "%s", printableToken(unknown), 1))
	}
	seen := sighting{Finding: scan.Finding{Name: "unknown content coding"}, at: inBody}
	if refused := s.noteOnce(p.asked(), seen, "let through unseen: "); refused != nil {
		return nil, refused
	}
	g.gate = g.seeing(scanner)
	return g, nil
}

// open makes the gate of a body, or says which coding nothing here can open.
func (g *guard) open(scanner *scan.Scanner, form bodyForm) (unknown, reason string) {
	coding, packing := contentCoding(form.codings), contentCoding(form.packing)
	switch {
	case !packs(form.kind) && !spelled(form.kind):
		packing = ""
	case packing != "" && (coding != "" || spelled(form.kind)):
		return packing + " in another", reasonPacking
	}
	if _, err := scan.Decode(packing, strings.NewReader(""), 0); err != nil {
		return packing, reasonPacking
	}
	switch {
	case coding != "":
		coded, err := scanner.Coded(coding, writerTo{g}, g.judge)
		if err != nil {
			return coding, reasonCoding
		}
		g.gate, g.coded, g.whole = coded, coded, true
	case packs(form.kind):
		inside := &packed{scanner: scanner, coding: packing, out: writerTo{g}, judge: g.judgeWhole, plain: g.seeing(scanner)}
		g.gate, g.coded = inside, inside
	default:
		g.gate = g.seeing(scanner)
	}
	return "", ""
}

// seeing is the gate of what nothing is to be decoded of.
func (g *guard) seeing(scanner *scan.Scanner) *scan.Gate {
	plain := scanner.Gate(writerTo{g}, g.judge)
	plain.Notes = g.bearing.Scan != policy.ScanBlock && g.bearing.Scan != policy.ScanRedact
	return plain
}

// judgeWhole is judge of what is in a coding, where asterisks have no place.
func (g *guard) judgeWhole(f scan.Finding) scan.Verdict {
	before := g.whole
	g.whole = true
	defer func() { g.whole = before }()
	return g.judge(f)
}

// contentCoding is that of a body, "" for none. What signs chunks is no coding
// that hides anything.
func contentCoding(values []string) string {
	var codings []string
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			switch part = strings.ToLower(strings.Trim(part, " \t")); part {
			case "", "identity", "aws-chunked":
			default:
				codings = append(codings, part)
			}
		}
	}
	return strings.Join(codings, ", ")
}

// printableToken is what a client calls a coding, cut short.
func printableToken(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s[:min(len(s), 40)])
}

// judge is what becomes of a finding in the body.
func (g *guard) judge(f scan.Finding) scan.Verdict {
	hide, refused := g.server.handle(g.pass.asked(), g.pass, sighting{Finding: f, at: inBody}, g.bearing)
	switch {
	case g.refused != nil:
		return scan.Block
	case refused == nil && hide && g.whole:
		refused = found(sighting{Finding: f, at: inBody}, g.bearing)
	}
	g.refused = refused
	switch {
	case refused != nil:
		return scan.Block
	case hide:
		return scan.Redact
	default:
		return scan.Pass
	}
}

// explain is why the body goes no further, where that is not the
// destination's fault.
func (g *guard) explain(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case g.refused != nil:
		return g.refused
	case g.coded == nil, g.outErr != nil, errors.As(err, new(sourceError)):
		return nil
	case errors.Is(err, scan.ErrBomb), errors.Is(err, scan.ErrHidden), errors.Is(err, scan.ErrBehind), errors.Is(err, errUnpacked):
		return unscanned(g.bearing, err.Error())
	default:
		return unscanned(g.bearing, "the body is not in the content coding that it names")
	}
}

// trailers looks at what follows a body.
func (g *guard) trailers(fs fields) *refusal {
	if len(fs) == 0 {
		return nil
	}
	seen, refused := g.server.watch.head("", "", fs)
	for _, one := range seen {
		one.at = inTrailer
		if _, why := g.server.handle(g.pass.asked(), g.pass, one, g.bearing); refused == nil {
			refused = why
		}
	}
	g.refused = refused
	return refused
}

// end closes a body, and looks at the trailers behind it.
func (g *guard) end(trailers fields) error {
	if err := g.Close(); err != nil {
		return err
	}
	if refused := g.trailers(trailers); refused != nil {
		return refused
	}
	return nil
}

// stop gives a body up that is not closed.
func (g *guard) stop() {
	if g.coded != nil {
		g.coded.Stop()
	}
}

// writerTo writes to where the guard's body goes on.
type writerTo struct{ guard *guard }

func (w writerTo) Write(p []byte) (int, error) {
	n, err := w.guard.out.Write(p)
	if err != nil {
		w.guard.outErr = err
	}
	return n, err
}

// onward is where the guarded body of a carrier goes on.
type onward struct {
	c       *carrier
	chunked bool
}

func (o onward) Write(p []byte) (int, error) {
	switch {
	case o.c.into != nil:
		return o.c.into.Write(p)
	case !o.chunked:
		return len(p), o.c.write(p)
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	const room = bufferSize - chunkRoom - len("\r\n")
	for rest := p; len(rest) > 0; rest = rest[min(room, len(rest)):] {
		n := copy(buffer[chunkRoom:bufferSize-2], rest)
		if err := o.c.write(asChunk(buffer[:], n)); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// scan acts on what is left of what was seen in the request's head, and makes
// the guard of its body.
func (t *transfer) scan(target string, seen []sighting) *refusal {
	secure := t.up.secure
	if refused := t.reach(t.pass, target); refused != nil {
		return refused
	}
	if refused := t.weighLate(t.pass, seen, secure); refused != nil {
		return refused
	}
	if t.request.websocket() { // compressed, nothing is seen
		t.request.fields = t.request.fields.without("sec-websocket-extensions")
	}
	if t.body.empty() {
		return nil
	}
	var refused *refusal
	t.guard, refused = t.server.guard(t.pass, bodyForm{
		kind:    strings.Join(t.request.fields.all("content-type"), ","),
		codings: t.request.fields.all("content-encoding"),
		packing: append(t.request.fields.all("grpc-encoding"), t.request.fields.all("connect-content-encoding")...),
	}, secure)
	if refused == nil && t.use.echo {
		t.guard.fields = t.broker.Fields(t.to.host, t.to.port, strings.Join(t.request.fields.all("content-type"), ","))
	}
	return refused
}

// all are the values of a field.
func (fs fields) all(name string) []string {
	var values []string
	for _, f := range fs {
		if f.is(name) {
			values = append(values, f.value)
		}
	}
	return values
}

// without leaves a field out.
func (fs fields) without(name string) fields {
	return slices.DeleteFunc(slices.Clone(fs), func(f field) bool { return f.is(name) })
}
