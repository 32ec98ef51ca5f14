package gateway

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
)

// examiner looks at one text after the other, each made of parts.
type examiner struct {
	of     *lookout
	stream *scan.Stream
	joins  bool // a value in pieces is looked for
	text   []byte
	parts  []headPart
}

// headPart is a part of a text.
type headPart struct {
	at    place
	index int // of the field
	begin int // of its value, in the text
	end   int
}

// borrow is an examiner without a text, to be put back.
func (w *watch) borrow() (*examiner, error) {
	now := w.now.Load()
	x, ok := now.examiner.Get().(*examiner)
	if !ok {
		s, err := now.scanner()
		if err != nil {
			return nil, err
		}
		x = &examiner{of: now, stream: s.Stream(), joins: s.Values() > 0}
	}
	x.parts, x.text = x.parts[:0], x.text[:0]
	return x, nil
}

// giveBack ends the use of x.
func (x *examiner) giveBack() { x.of.examiner.Put(x) }

// add puts a part into the text.
func (x *examiner) add(at place, index int, before, value string) {
	x.text = append(x.text, before...)
	begin := len(x.text)
	x.text = append(x.text, value...)
	x.end(headPart{at: at, index: index, begin: begin})
}

// end ends a part with what belongs to nothing.
func (x *examiner) end(p headPart) {
	x.text = append(x.text, '\n')
	p.end = len(x.text)
	x.parts = append(x.parts, p)
}

// findings are those in the text, each with the part that it begins in and the
// offset in that one's value.
func (x *examiner) findings() iter.Seq2[int, scan.Finding] {
	return func(yield func(int, scan.Finding) bool) {
		for _, found := range [...][]scan.Finding{slices.Clone(x.stream.Write(x.text)), x.stream.Close()} {
			for _, f := range found {
				i := slices.IndexFunc(x.parts, func(p headPart) bool { return f.Offset < int64(p.end) })
				f.Offset -= int64(x.parts[i].begin)
				if !yield(i, f) {
					return
				}
			}
		}
	}
}

// head looks at the head of a request, as the bottle wrote it: each part by
// itself, then path segments, values of the query and of headers as a server
// would join them (TestSplitOverHeads). Fields of one hop do not leave.
func (w *watch) head(method, target string, fs fields) ([]sighting, *refusal) {
	x, err := w.borrow()
	if err != nil {
		return nil, blind(err)
	}
	defer x.giveBack()
	x.add(inURL, 0, "", method)
	x.add(inURL, 0, "", target)
	if strings.IndexByte(target, '%') >= 0 {
		if plain, err := url.QueryUnescape(target); err == nil {
			x.add(inURL, 0, "", plain)
		}
	}
	for i, f := range fs {
		if !hopByHop(f) {
			x.text = append(append(x.text, f.name...), ": "...)
			x.add(inHeader, i, "", f.value)
		}
	}
	single := len(x.parts)
	if x.joins {
		x.join(target, fs)
	}
	var seen []sighting
	for part, f := range x.findings() {
		p := x.parts[part]
		s := sighting{Finding: f, at: p.at, split: part >= single}
		if s.split && (f.Kind == scan.Credential || slices.ContainsFunc(seen, s.same)) {
			continue // what no part holds by itself, and only of the run's own
		}
		if s.at == inHeader && !s.split {
			s.field, s.index = fs[p.index].name, p.index
			if forCredentials(s.field) {
				s.at = inCredential
			}
		}
		seen = append(seen, s)
	}
	return seen, nil
}

// forCredentials says whether programs put what they authenticate with into a
// header of that name; a cookie is the server's own.
func forCredentials(name string) bool {
	lower := strings.ToLower(name)
	return broker.ForCredentials(name) && !strings.Contains(lower, "cookie") && !strings.Contains(lower, "session")
}

// join puts together what a server might.
func (x *examiner) join(target string, fs fields) {
	path, query, _ := strings.Cut(target, "?")
	for segment := range strings.SplitSeq(path, "/") {
		x.text = append(x.text, segment...)
	}
	for pair := range strings.SplitSeq(query, "&") {
		_, value, found := strings.Cut(pair, "=")
		if !found {
			value = pair
		}
		x.text = append(x.text, value...)
	}
	x.end(headPart{at: inURL})
	for _, f := range fs {
		if !hopByHop(f) {
			x.text = append(x.text, f.value...)
		}
	}
	x.end(headPart{at: inHeader})
}

// same says whether two sightings are of one value.
func (s sighting) same(o sighting) bool { return s.Kind == o.Kind && s.Name == o.Name }

// screenHead looks at a head and acts on what it sees there, as far as the
// policy decides about the request by itself: what is to be hidden is hidden in
// the fields that it returns. What it returns of what it saw is for weighLate.
func (s *server) screenHead(p policy.Request, target string, fs fields) (fields, []sighting, *refusal) {
	if s.trial.on() { // of the probe's own nothing leaves
		return fs, nil, nil
	}
	seen, refused := s.watch.head(p.Method, target, fs)
	if refused != nil || len(seen) == 0 {
		return fs, nil, refused
	}
	d := s.policy().Decide(p)
	if !d.Allow {
		return fs, seen, nil
	}
	p.Host = d.Host
	b := bearing{Decision: d, port: p.Port, secure: p.Kind == policy.HTTPS}
	fs = slices.Clone(fs)
	for _, one := range seen {
		hide, refused := s.handle(p, nil, one, b)
		if refused != nil {
			return nil, nil, refused
		}
		if hide && !fs.hide(one) {
			return nil, nil, found(one, b)
		}
	}
	return fs, nil, nil
}

// weighLate acts on what was seen in a request that was let through by more
// than the policy, when it is too late to hide anything.
func (s *server) weighLate(p *passage, seen []sighting, secure bool) *refusal {
	for _, one := range seen {
		hide, refused := s.handle(p.asked(), p, one, p.bearing(secure))
		if refused != nil {
			return refused
		}
		if hide {
			return found(one, p.bearing(secure))
		}
	}
	return nil
}

// hide puts asterisks in the place of a sighting, in whichever field of its
// name it is.
func (fs fields) hide(s sighting) bool {
	from, to := int(s.Offset), int(s.Offset)+s.Length
	for i, f := range fs {
		if f.name == s.field && i == s.index && from >= 0 && to <= len(f.value) {
			fs[i].value = f.value[:from] + strings.Repeat("*", s.Length) + f.value[to:]
			return true
		}
	}
	return false
}

// fieldsOf are a header's fields, in an order that does not change.
func fieldsOf(h http.Header) fields {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	fs := make(fields, 0, len(h)+2)
	for _, name := range names {
		for _, value := range h[name] {
			fs = append(fs, field{name, value})
		}
	}
	return fs
}

// header is the fields as net/http has them.
func (fs fields) header() http.Header {
	h := make(http.Header, len(fs))
	for _, f := range fs {
		h[f.name] = append(h[f.name], f.value)
	}
	return h
}
