package scan

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// lines are text that compresses as text does, without anything to find.
func lines(n int) string {
	r := rand.New(rand.NewPCG(1, uint64(n))) //nolint:gosec // G404: not for secrets
	var b strings.Builder
	for b.Len() < n {
		for range 1 + r.IntN(9) {
			b.WriteByte("etaoin shrdlu"[r.IntN(13)])
		}
		b.WriteByte('\n')
	}
	return b.String()[:n]
}

// sendCoded writes body in parts of size bytes and returns what left.
func sendCoded(t *testing.T, s *Scanner, encoding string, body []byte, size int) ([]byte, error) {
	t.Helper()
	var out bytes.Buffer
	c, err := s.Coded(encoding, &out, func(Finding) Verdict { return Block })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	for len(body) > 0 {
		n := min(size, len(body))
		if _, err := c.Write(body[:n]); err != nil {
			return out.Bytes(), err
		}
		if len(c.held) > maxHeld {
			t.Fatalf("%d bytes are held", len(c.held))
		}
		body = body[n:]
	}
	err = c.Close()
	return out.Bytes(), err
}

// What a body decodes to is seen before the bytes leave that it is decoded
// from, wherever they are cut.
func TestCoded(t *testing.T) {
	s := withSecret(t, sample)
	before := lines(90_000)
	for _, test := range []struct{ header, encoding string }{{"gzip", "gzip"}, {"deflate", "zlib"}, {"deflate", "flate"}} {
		clean := compressed(t, test.encoding, []byte(before+before))
		bad := compressed(t, test.encoding, []byte(before+sample+before))
		for _, size := range []int{1, 7, 100, 4096, 16 << 10, 1 << 20} {
			out, err := sendCoded(t, s, test.header, clean, size)
			if err != nil || !bytes.Equal(out, clean) {
				t.Fatalf("%v by %d: %d of %d bytes: %v", test, size, len(out), len(clean), err)
			}
			out, err = sendCoded(t, s, test.header, bad, size)
			if !errors.Is(err, ErrBlocked) {
				t.Fatalf("%v by %d: %v", test, size, err)
			}
			r, _ := Decode(test.header, bytes.NewReader(out), 0)
			left, _ := io.ReadAll(r)
			if strings.Contains(string(left), sample[:8]) {
				t.Fatalf("%v by %d: the secret left", test, size)
			}
		}
	}
}

// TestCodedHides tries what a receiver would read and a decompressor does not
// say.
func TestCodedHides(t *testing.T) {
	const sample = "s3cr3t/T0ken+value?x=1"
	s := withSecret(t, sample)
	var comment bytes.Buffer
	w := gzip.NewWriter(&comment)
	w.Comment = sample
	_, _ = io.WriteString(w, "text")
	_ = w.Close()
	behind := append(compressed(t, "zlib", []byte("text")), "more "+sample...)
	var empty bytes.Buffer
	f, _ := flate.NewWriter(&empty, 6)
	_, _ = io.WriteString(f, "text")
	for range 40_000 {
		_ = f.Flush()
	}
	_, _ = io.WriteString(f, sample)
	_ = f.Close()
	var bomb bytes.Buffer
	w = gzip.NewWriter(&bomb)
	zeroes := make([]byte, 1<<20)
	for range 64 {
		_, _ = w.Write(zeroes)
	}
	_ = w.Close()
	for what, test := range map[string]struct {
		encoding string
		body     []byte
		want     error
	}{
		"a comment":              {"gzip", comment.Bytes(), ErrBlocked},
		"text behind the end":    {"deflate", behind, ErrBehind},
		"bytes behind the end":   {"deflate", append(compressed(t, "zlib", []byte("text")), "more"...), ErrBehind},
		"empty blocks":           {"deflate", empty.Bytes(), ErrHidden},
		"a bomb":                 {"gzip", bomb.Bytes(), ErrBomb},
		"a second gzip member":   {"gzip", append(compressed(t, "gzip", []byte("text")), compressed(t, "gzip", []byte(sample))...), ErrBlocked},
		"what is cut short":      {"gzip", compressed(t, "gzip", []byte("text"))[:20], io.ErrUnexpectedEOF},
		"what is no gzip":        {"gzip", []byte("plain text and no gzip"), gzip.ErrHeader},
		"gzip that is something": {"gzip", compressed(t, "gzip", []byte("x"+sample)), ErrBlocked},
	} {
		for _, size := range []int{1, 4096, 16 << 10} {
			out, err := sendCoded(t, s, test.encoding, test.body, size)
			if !errors.Is(err, test.want) && (!errors.Is(err, ErrBlocked) || !errors.Is(test.want, ErrBehind)) {
				t.Errorf("%s by %d: %v", what, size, err)
			}
			if strings.Contains(string(out), sample) {
				t.Errorf("%s by %d: it left", what, size)
			}
		}
	}
}

// FuzzCoded holds that a coded body leaves whole or not at all, however it is
// made and cut.
func FuzzCoded(f *testing.F) {
	f.Add([]byte("text "+sample), uint8(3), false)
	f.Add([]byte("\x1f\x8b\x08\x00"), uint8(1), true)
	s, err := New(Options{Values: []Value{{Name: "V", Kind: Secret, Bytes: []byte(sample)}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte, size uint8, raw bool) {
		plain := body
		if len(plain) > 64<<10 {
			return
		}
		if !raw {
			body = fast.compress(body)
		}
		out, err := sendCoded(t, s, "gzip", body, int(size)+1)
		switch {
		case err == nil && !bytes.Equal(out, body):
			t.Errorf("%d of %d bytes left", len(out), len(body))
		case err == nil && !raw && bytes.Contains(plain, []byte(sample)):
			t.Error("a secret left")
		case err != nil && !raw && len(all(s, string(plain))) == 0 && len(all(s, string(body))) == 0:
			t.Errorf("a clean body did not leave: %v", err)
		}
	})
}

// fast makes gzip without a compressor for each body, which takes a megabyte.
var fast packer

type packer struct {
	mu sync.Mutex // guards the rest
	w  *gzip.Writer
}

func (p *packer) compress(plain []byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out bytes.Buffer
	if p.w == nil {
		p.w, _ = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	}
	p.w.Reset(&out)
	_, _ = p.w.Write(plain)
	_ = p.w.Close()
	return out.Bytes()
}

func BenchmarkCoded(b *testing.B) {
	s, err := New(Options{Values: []Value{{Name: "V", Kind: Secret, Bytes: []byte(sample)}}, Rows: Table()})
	if err != nil {
		b.Fatal(err)
	}
	plain := []byte(lines(4 << 20))
	var body bytes.Buffer
	w := gzip.NewWriter(&body)
	_, _ = w.Write(plain)
	_ = w.Close()
	b.SetBytes(int64(len(plain)))
	b.Run("decoded alone", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		for b.Loop() {
			r, _ := gzip.NewReader(bytes.NewReader(body.Bytes()))
			_, _ = io.Copy(io.Discard, r)
		}
	})
	for b.Loop() {
		c, err := s.Coded("gzip", io.Discard, func(Finding) Verdict { return Block })
		if err != nil {
			b.Fatal(err)
		}
		for part := body.Bytes(); len(part) > 0; part = part[min(len(part), 16<<10):] {
			if _, err := c.Write(part[:min(len(part), 16<<10)]); err != nil {
				b.Fatal(err)
			}
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
