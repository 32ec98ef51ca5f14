package scan

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/url"
	"reflect"
	"strings"
	"testing"
)

// FuzzSplits holds that the cuts of a stream change nothing, and that the
// gate lets out what came in but for what was redacted.
func FuzzSplits(f *testing.F) {
	secret := "aXaXaXbX/cXaXaX%5"
	s := scanner(f, Options{
		Values: []Value{
			{Name: "one", Kind: Secret, Bytes: []byte(secret)},
			{Name: "two", Kind: Canary, Bytes: []byte("aaaaaaaaaa")},
			{Name: "three", Kind: Placeholder, Bytes: []byte("aXaXaXbX/d")},
		},
		Rows: Table(),
	})
	body := randomText(rand.New(rand.NewPCG(1, 1)), 30)
	f.Add([]byte("ghp_ghp_"+body+checksum(body)+" "+secret), uint64(1))
	f.Add([]byte(strings.Repeat("a", 40)+strings.Repeat("%61", 12)), uint64(2))
	f.Add([]byte("aXaXaXaXaXaXbX/caXaXaXbX/cXaXaX%255glpat-"+body+"-----BEGIN PRIVATE KEY-----\n"+body+body), uint64(3))
	for _, text := range encodings(secret) {
		f.Add([]byte("\n"+text+text[:5]+text), uint64(4))
	}
	f.Fuzz(func(t *testing.T, data []byte, seed uint64) {
		whole := all(s, string(data))
		r := rand.New(rand.NewPCG(seed, 0))
		for _, most := range []int{1, 3, 40, 700} {
			if len(data) > 4096 && most < 40 {
				continue
			}
			cut := cuts(r, string(data), most)
			if found := all(s, cut...); !reflect.DeepEqual(found, whole) {
				t.Fatalf("cut by %d: %v, whole %v", most, found, whole)
			}
			throughGate(t, s, cut, whole)
		}
	})
}

func cuts(r *rand.Rand, text string, most int) []string {
	var parts []string
	for len(text) > 0 {
		n := min(len(text), 1+r.IntN(most))
		parts, text = append(parts, text[:n]), text[n:]
	}
	return parts
}

// throughGate holds a gate that redacts to the findings of the whole.
func throughGate(t *testing.T, s *Scanner, cut []string, whole []Finding) {
	t.Helper()
	want := []byte(strings.Join(cut, ""))
	for _, f := range whole {
		for i := range f.Length {
			want[int(f.Offset)+i] = '*'
		}
	}
	var out bytes.Buffer
	g := s.Gate(&out, func(Finding) Verdict { return Redact })
	for _, part := range cut {
		if n, err := g.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("wrote %d of %d: %v", n, len(part), err)
		}
		if len(g.held) > s.Lookback() {
			t.Fatalf("%d bytes are held back", len(g.held))
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Fatalf("the gate let out %q, not %q", out.Bytes(), want)
	}
}

// FuzzEncodings holds that a value is found however it is written, unless right
// behind what may begin an escape, or when it holds some itself.
func FuzzEncodings(f *testing.F) {
	f.Add([]byte(sample), []byte("before"))
	f.Add([]byte("\x00\xff\xfe 12345\u00e9\U0001F600"), []byte("100% "))
	f.Fuzz(func(t *testing.T, value, before []byte) {
		if len(value) < MinValue || len(value) > 200 || len(before) > 100 {
			return
		}
		if unfinished(before) || !bytes.Equal(unescaped(value), value) {
			return
		}
		s, err := New(Options{Values: []Value{{Name: "V", Kind: Secret, Bytes: value}}})
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range encodings(string(value)) {
			if name == "JSON" || name == "unicode" || strings.HasPrefix(name, "HTML") {
				// Bytes that are no text have no such form.
				if back, err := json.Marshal(string(value)); err != nil || !roundTrips(back, value) {
					continue
				}
			}
			if len(all(s, string(before)+text)) == 0 {
				t.Errorf("%s: %q is not found in %q behind %q", name, value, text, before)
			}
		}
	})
}

// unfinished says whether what follows may belong to an escape.
func unfinished(before []byte) bool {
	for i := range before {
		if e, more := unescape(before[i:]); more && begins(before[i]) || e.length > 0 && i+e.length > len(before) {
			return true
		}
	}
	return false
}

func roundTrips(text, value []byte) bool {
	var s string
	return json.Unmarshal(text, &s) == nil && s == string(value)
}

func TestGateBlocks(t *testing.T) {
	s := withSecret(t, sample)
	var out bytes.Buffer
	g := s.Gate(&out, func(Finding) Verdict { return Block })
	before := lines(1000)
	text := before + url.QueryEscape(sample) + " and so on"
	var err error
	for i := range len(text) {
		if _, err = g.Write([]byte(text[i : i+1])); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrBlocked) || strings.Contains(err.Error(), sample) {
		t.Fatalf("%v", err)
	}
	left := out.String()
	if !strings.HasPrefix(before, left) || left == "" {
		t.Errorf("left: %q", left)
	}
	if _, err := g.Write([]byte("more")); !errors.Is(err, ErrBlocked) || out.String() != left {
		t.Errorf("a blocked gate took more: %v", err)
	}
	if err := g.Close(); !errors.Is(err, ErrBlocked) {
		t.Errorf("close: %v", err)
	}
}

// Without a value nothing is held back that has not begun as a credential.
func TestGateHoldsNothingOfOrdinaryEvents(t *testing.T) {
	s := scanner(t, Options{Rows: Table()})
	var out bytes.Buffer
	g := s.Gate(&out, func(Finding) Verdict { return Block })
	for range 10 {
		event := "event: ping\ndata: {\"type\": \"ping\"}\n\n"
		before := out.Len()
		if _, err := io.WriteString(g, event); err != nil || out.Len() != before+len(event) {
			t.Fatalf("%d of %d bytes of an event left: %v", out.Len()-before, len(event), err)
		}
	}
}

// A source that waits gets out what it has said; what goes on from it is found
// all the same.
func TestGatePauses(t *testing.T) {
	s := withSecret(t, sample)
	var out bytes.Buffer
	g := s.Gate(&out, func(Finding) Verdict { return Block })
	said := "a line\ndoes it end with " + sample[:9]
	if _, err := io.WriteString(g, said); err != nil || out.Len() != 0 {
		t.Fatalf("%d of %d bytes left at once: %v", out.Len(), len(said), err)
	}
	if err := g.PauseLine(); err != nil || out.String() != "a line\n" {
		t.Fatalf("%q left with the line: %v", out.String(), err)
	}
	if err := g.Pause(); err != nil || out.String() != said || g.Holds() {
		t.Fatalf("%q left at a pause: %v", out.String(), err)
	}
	if _, err := io.WriteString(g, sample[9:]); !errors.Is(err, ErrBlocked) || out.String() != said {
		t.Fatalf("then %q: %v", out.String(), err)
	}
}
