package broker

import (
	"bytes"
	"crypto/subtle"
	"io"
	"net/http"
	"slices"

	"claude-bottle/internal/scan"
)

// Answer returns a writer for the body of an answer: each real value in it comes
// out as its placeholder, and one that is encoded or cut, so that no
// placeholder could stand in its place, as asterisks. Unless a placeholder had
// to be longer than its value (see [Placeholder]), no length changes: SameLength
// says which. The answer must be in no content coding; see [scan.Decode].
//
// A piece shorter than the scanner knows by itself passes: see docs/secrets.md.
func (b *Broker) Answer(out io.Writer) *Answer {
	now := b.now.Load()
	outside, err := now.outside()
	if err != nil {
		return &Answer{err: err}
	}
	gate := outside.Gate(out, func(scan.Finding) scan.Verdict { return scan.Redact })
	r := &Answer{out: gate, stream: outside.Stream(), pairs: now.pairs()}
	for _, p := range r.pairs {
		r.hold = max(r.hold, len(p.Value)-1)
	}
	return r
}

// SameLength says whether an [Answer] never changes the length of a body.
func (b *Broker) SameLength() bool {
	return !slices.ContainsFunc(b.now.Load().pairs(), func(p Pair) bool { return len(p.Value) != len(p.Placeholder) })
}

// pairs are all, former ones too.
func (v *values) pairs() []Pair {
	all := slices.Clone(v.former)
	for i := range v.secrets {
		all = append(all, v.secrets[i].Pairs()...)
	}
	return all
}

// EchoHeader does in place for an answer's header what Answer does for its body.
// A field whose name holds a value goes.
func (b *Broker) EchoHeader(h http.Header) {
	if !b.inHeader(h) {
		return
	}
	var out bytes.Buffer
	restored := func(text string) string {
		out.Reset()
		w := b.Answer(&out)
		// Neither of the two can fail on a buffer.
		_, _ = io.WriteString(w, text)
		_ = w.Close()
		return out.String()
	}
	for name, values := range h {
		if restored(name) != name {
			delete(h, name)
			continue
		}
		for i, value := range values {
			values[i] = restored(value)
		}
	}
}

// inHeader says whether there is anything in a header to be replaced: most have
// nothing.
func (b *Broker) inHeader(h http.Header) bool {
	outside, err := b.now.Load().outside()
	if err != nil {
		clear(h)
		return false
	}
	stream := outside.Stream()
	holds := func(text string) bool {
		found := len(stream.Write([]byte(text))) > 0
		return len(stream.Close()) > 0 || found
	}
	for name, values := range h {
		if holds(name) || slices.ContainsFunc(values, holds) {
			return true
		}
	}
	return false
}

// Answer replaces values by placeholders, across the borders of writes. What it
// holds back for that is as much whatever comes: who has a server say what may
// be the beginning of a value, and sees how much of it arrives, learns nothing
// (TestAnswerTellsNothing). Nor does it by the time: text is compared with a
// value only where the scanner has found one.
type Answer struct {
	out    *scan.Gate
	stream *scan.Stream
	pairs  []Pair
	begins []int64 // of what may be values, in the answer
	hold   int     // bytes: one less than the longest value
	held   []byte
	base   int64  // of held's first byte
	fresh  []byte // scratch
	err    error  // of what cannot be searched
}

func (r *Answer) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.held = append(r.held, p...)
	for _, f := range r.stream.Write(p) {
		if f.At >= 0 {
			r.begins = append(r.begins, f.Offset-int64(f.At))
		}
	}
	if err := r.release(len(r.held) - r.hold); err != nil {
		return 0, err
	}
	return len(p), nil
}

// FlushLine lets out what is held back of lines that have ended, for a reader
// who waits for what has come so far.
func (r *Answer) FlushLine() error {
	if r.err != nil {
		return r.err
	}
	if err := r.release(scan.Line(r.held)); err != nil {
		return err
	}
	return r.out.PauseLine()
}

// Flush lets out all that is held back. A server that stops within a value has
// told what came before, so it should have been silent for longer than any
// network is.
func (r *Answer) Flush() error {
	if r.err != nil {
		return r.err
	}
	if err := r.release(len(r.held)); err != nil {
		return err
	}
	return r.out.Pause()
}

// Close writes what was held back; it does not close the destination.
func (r *Answer) Close() error {
	if r.err != nil {
		return r.err
	}
	if err := r.release(len(r.held)); err != nil {
		return err
	}
	r.held, r.fresh, r.begins = nil, nil, nil
	return r.out.Close()
}

// release lets out the first n bytes that are held back, and all of a value
// that begins in them.
func (r *Answer) release(n int) error {
	if n <= 0 {
		return nil
	}
	r.fresh = r.fresh[:0]
	slices.Sort(r.begins)
	from := 0
	for len(r.begins) > 0 && r.begins[0] < r.base+int64(n) {
		at := int(r.begins[0] - r.base)
		r.begins = r.begins[1:]
		if at < from {
			continue
		}
		if found := r.valueAt(r.held[at:]); found.Value != "" {
			r.fresh = append(append(r.fresh, r.held[from:at]...), found.Placeholder...)
			from = at + len(found.Value)
		}
	}
	if from < n {
		r.fresh = append(r.fresh, r.held[from:n]...)
		from = n
	}
	r.held, r.base = r.held[:copy(r.held, r.held[from:])], r.base+int64(from)
	_, err := r.out.Write(r.fresh)
	return err
}

// valueAt is the longest value that text begins with; without one it is empty.
func (r *Answer) valueAt(text []byte) (found Pair) {
	for _, p := range r.pairs {
		n := len(p.Value)
		if n <= len(text) && n > len(found.Value) && subtle.ConstantTimeCompare(text[:n], []byte(p.Value)) == 1 {
			found = p
		}
	}
	return found
}
