package broker

import (
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"

	"claude-bottle/internal/scan"
)

// Echo returns a writer for the body of an answer: each real value in it comes
// out as its placeholder, and one that is encoded or cut, so that no
// placeholder could stand in its place, as asterisks. Unless a placeholder had
// to be longer than its value (see [Placeholder]), no length changes: SameLength
// says which. The answer must be in no content coding; see [scan.Decode].
//
// A piece shorter than the scanner knows by itself passes: see docs/secrets.md.
func (b *Broker) Echo(out io.Writer) io.WriteCloser { return b.Answer(out) }

// Answer is Echo, as what it is.
func (b *Broker) Answer(out io.Writer) *Answer {
	now := b.now.Load()
	outside, err := now.outside()
	if err != nil {
		return &Answer{err: err}
	}
	gate := outside.Gate(out, func(scan.Finding) scan.Verdict { return scan.Redact })
	r := &Answer{out: gate}
	r.pairs = now.pairs()
	return r
}

// SameLength says whether Echo never changes the length of a body.
func (b *Broker) SameLength() bool {
	return !slices.ContainsFunc(b.now.Load().pairs(), func(p Pair) bool { return len(p.Value) != len(p.Placeholder) })
}

// pairs are all, former ones too.
func (v *values) pairs() []Pair {
	all := slices.Clone(v.former)
	for i := range v.secrets {
		all = append(all, v.secrets[i].pairs()...)
	}
	return all
}

// EchoHeader does in place for an answer's header what Echo does for its body.
// A field whose name holds a value, in whatever case, goes.
func (b *Broker) EchoHeader(h http.Header) {
	b.dropNamed(h)
	if !b.inHeader(h) {
		return
	}
	var out bytes.Buffer
	restored := func(text string) string {
		out.Reset()
		w := b.Echo(&out)
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

// dropNamed takes out fields whose names hold a value. The case of a name is
// not what it was when the answer was read, and a value that is hexadecimal or
// a UUID is whole in either.
func (b *Broker) dropNamed(h http.Header) {
	for _, p := range b.now.Load().pairs() {
		value := strings.ToLower(p.Value)
		for name := range h {
			if len(name) >= len(value) && strings.Contains(strings.ToLower(name), value) {
				delete(h, name)
			}
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

// Answer replaces values by placeholders, across the borders of writes.
type Answer struct {
	out   *scan.Gate
	pairs []Pair
	held  []byte
	err   error // of what cannot be searched
}

func (r *Answer) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	text := p
	if len(r.held) > 0 {
		r.held = append(r.held, p...)
		text = r.held
	}
	rest, err := r.replace(text)
	if err != nil {
		return 0, err
	}
	keep := r.begun(rest)
	if _, err := r.out.Write(rest[:len(rest)-keep]); err != nil {
		return 0, err
	}
	r.held = append(r.held[:0], rest[len(rest)-keep:]...)
	return len(p), nil
}

// flushed is how many bytes Flush lets out: less than tells anything of a value.
const flushed = 4

// Flush lets out a few bytes that are held back because a value may begin with
// them, for a reader who waits for what has come so far. See [scan.Gate.Flush].
func (r *Answer) Flush() error {
	if r.err != nil {
		return r.err
	}
	if n := len(r.held); n > 0 && n <= flushed {
		held := r.held
		r.held = nil
		if _, err := r.out.Write(held); err != nil {
			return err
		}
	}
	return r.out.Flush(flushed)
}

// Close writes what was held back; it does not close the destination.
func (r *Answer) Close() error {
	if r.err != nil {
		return r.err
	}
	if _, err := r.out.Write(r.held); err != nil {
		return err
	}
	clear(r.held)
	r.held = nil
	return r.out.Close()
}

// replace writes text up to the end of its last value, and returns the rest.
func (r *Answer) replace(text []byte) ([]byte, error) {
	for {
		at, found := -1, Pair{}
		for _, p := range r.pairs {
			i := bytes.Index(text, []byte(p.Value))
			if i >= 0 && (at < 0 || i < at || i == at && len(p.Value) > len(found.Value)) {
				at, found = i, p
			}
		}
		if at < 0 {
			return text, nil
		}
		if _, err := r.out.Write(text[:at]); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(r.out, found.Placeholder); err != nil {
			return nil, err
		}
		text = text[at+len(found.Value):]
	}
}

// begun is how many bytes at the end of text may be the beginning of a value.
func (r *Answer) begun(text []byte) int {
	most := 0
	for _, p := range r.pairs {
		for n := min(len(p.Value)-1, len(text)); n > most; n-- {
			if bytes.HasSuffix(text, []byte(p.Value[:n])) {
				most = n
				break
			}
		}
	}
	return most
}
