package scan

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const sample = "s3cr3t/T0ken+value?x=ÿ1"

func scanner(t testing.TB, o Options) *Scanner {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func withSecret(t testing.TB, value string) *Scanner {
	t.Helper()
	return scanner(t, Options{Values: []Value{{Name: "TOKEN", Kind: Secret, Bytes: []byte(value)}}})
}

// all is what s finds in pieces, in one order.
func all(s *Scanner, pieces ...string) []Finding {
	t := s.Stream()
	var found []Finding
	for _, p := range pieces {
		found = append(found, slices.Clone(t.Write([]byte(p)))...)
	}
	found = append(found, t.Close()...)
	slices.SortFunc(found, func(a, b Finding) int {
		return strings.Compare(fmt.Sprintf("%012d %d %+v", a.Offset, a.Length, a), fmt.Sprintf("%012d %d %+v", b.Offset, b.Length, b))
	})
	return found
}

// encodings are ways in which tools write a value, by name.
func encodings(value string) map[string]string {
	quoted, _ := json.Marshal(value)
	every := func(format string) string {
		var b strings.Builder
		for _, c := range []byte(value) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
	references := func(format string) string {
		var b strings.Builder
		for _, r := range value {
			fmt.Fprintf(&b, format, r)
		}
		return b.String()
	}
	forms := map[string]string{
		"as is":          value,
		"query":          url.QueryEscape(value),
		"path":           url.PathEscape(value),
		"percent, lower": every("%%%02x"),
		"percent, upper": every("%%%02X"),
		"percent, twice": every("%%25%02x"),
		"JSON":           string(quoted[1 : len(quoted)-1]),
		"program text":   every(`\x%02x`),
		"hex, lower":     hex.EncodeToString([]byte(value)),
		"hex, upper":     strings.ToUpper(hex.EncodeToString([]byte(value))),
		"hex, colons":    strings.TrimSuffix(every("%02x:"), ":"),
		"reversed":       reversed(value),
		"wrapped":        wrap(base64.StdEncoding.EncodeToString([]byte(value)), 7, "\r\n"),
		"wrapped, JSON":  wrap(base64.StdEncoding.EncodeToString([]byte(value)), 10, `\n`),
		"wide":           string(wide([]byte(value))),
	}
	var unicode strings.Builder
	for _, r := range value {
		fmt.Fprintf(&unicode, `\u%04X`, r)
	}
	forms["unicode"] = unicode.String()
	forms["HTML"], forms["HTML, decimal"] = references("&#x%X;"), references("&#%d;")
	forms["lower"], forms["upper"] = inCase(value, upper, lower), inCase(value, lower, upper)
	for offset := range 5 {
		padded := []byte("user:"[:offset] + value + "!!"[:offset%3])
		if offset < 3 {
			forms[fmt.Sprintf("base64 at %d", offset)] = base64.StdEncoding.EncodeToString(padded)
			forms[fmt.Sprintf("base64url at %d", offset)] = base64.RawURLEncoding.EncodeToString(padded)
			forms[fmt.Sprintf("base64 in a query, at %d", offset)] = url.QueryEscape(base64.StdEncoding.EncodeToString(padded))
		}
		forms[fmt.Sprintf("base32 at %d", offset)] = base32.StdEncoding.EncodeToString(padded)
		forms[fmt.Sprintf("base32, lower, at %d", offset)] = strings.ToLower(base32.StdEncoding.EncodeToString(padded))
	}
	return forms
}

// inCase is s with its ASCII letters that are in from as they are in to.
func inCase(s, from, to string) string {
	b := []byte(s)
	for i, c := range b {
		if at := strings.IndexByte(from, c); at >= 0 {
			b[i] = to[at]
		}
	}
	return string(b)
}

// TestTwoEncodings holds one encoding within another to be found.
func TestTwoEncodings(t *testing.T) {
	for _, value := range []string{"s3cr3t/T0ken+v:1", "Zq8wLx3vTn5kRb2mYc9pDf4hAb3dEf6hIj9kLm2n"} {
		s := withSecret(t, value)
		quoted, _ := json.Marshal(`"` + value + `\n`)
		in64, inHex := base64.StdEncoding.EncodeToString, func(text string) string { return hex.EncodeToString([]byte(text)) }
		for name, text := range map[string]string{
			"base64 of base64":        in64([]byte("x:" + in64([]byte("user:"+value)))),
			"base64 of base64url":     in64([]byte(base64.RawURLEncoding.EncodeToString([]byte(value)))),
			"base64 of hex":           in64([]byte(inHex(value))),
			"base64 of upper hex":     in64([]byte(strings.ToUpper(inHex(value)))),
			"base64 of UTF-16":        in64([]byte("\x00" + string(wide([]byte(value))))),
			"base64 of a query":       in64([]byte("token=" + url.QueryEscape(value))),
			"hex of base64":           inHex(in64([]byte(value))),
			"JSON of JSON":            string(quoted),
			"JSON of a query":         strings.ReplaceAll(url.QueryEscape(value), "%", `\u0025`),
			"HTML of a query":         strings.ReplaceAll(url.QueryEscape(value), "%", "&#37;"),
			"a query of HTML":         url.QueryEscape(strings.ReplaceAll(value, "3", "&#x33;")),
			"a query of hex":          "%" + wrap(inHex(value), 2, "%"),
			"base64 in lines, quoted": `"` + wrap(in64([]byte(value)), 5, "\",\n    \"") + `"`,
		} {
			if found := all(s, "a: "+text+" and so on"); len(found) == 0 {
				t.Errorf("%s of %q: not found in %q", name, value, text)
			}
		}
	}
}

func randomText(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = word[r.IntN(len(word))]
	}
	return string(b)
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

func wrap(s string, width int, with string) string {
	var b strings.Builder
	for i := 0; i < len(s); i += width {
		if i > 0 {
			b.WriteString(with)
		}
		b.WriteString(s[i:min(i+width, len(s))])
	}
	return b.String()
}

func TestEncodings(t *testing.T) {
	s := withSecret(t, sample)
	for name, text := range encodings(sample) {
		for _, around := range []string{"", "x", "some text before it, of no meaning at all: "} {
			found := all(s, around+text+"\" and behind")
			if len(found) == 0 {
				t.Errorf("%s behind %d bytes: not found in %q", name, len(around), text)
			}
			whole := false
			for _, f := range found {
				if f.Kind != Secret || f.Name != "TOKEN" {
					t.Errorf("%s: %+v", name, f)
				}
				if from := int64(len(around)); f.Offset < from || f.Offset+int64(f.Length) > from+int64(len(text)) {
					t.Errorf("%s at %d, %d long: %+v", name, from, len(text), f)
				}
				whole = whole || f.Length == len(text)
			}
			if (name == "as is" || name == "unicode" || name == "reversed") && (!whole || len(found) != 1) {
				t.Errorf("%s: %v, of %d bytes", name, found, len(text))
			}
		}
	}
}

// A character escaped here and there is what programs really write.
func TestMixedEscapes(t *testing.T) {
	s := withSecret(t, "abcdefgh/ijkl")
	for _, text := range []string{
		`abc%64efgh%2fijkl`, `\u0061bcdefgh\/ijkl`, `ab\x63d%65fgh%252Fij%6Bl`,
	} {
		if found := all(s, text); len(found) != 1 || found[0].Encoding != Text {
			t.Errorf("%s: %v", text, found)
		}
	}
}

// An escape is undone wherever what is behind it stops to matter.
func TestEscapesAnywhere(t *testing.T) {
	s := withSecret(t, "nbcdefgh/ijklmnop1")
	for n := range 400 {
		filler := strings.Repeat("x", n)
		for _, text := range []string{
			`nbcdefg%68/ijklmnop1` + filler + "% of it", filler + `nbcdefg%68/ijklmnop1 and%`,
			filler + `\\nbcdefg%68/ijklmnop1`, filler + `\"nbcdefg\\u0068/ijklmnop1`,
		} {
			if found := all(s, text, strings.Repeat(" y", 300)); len(found) != 1 {
				t.Fatalf("%q: %v", text, found)
			}
		}
	}
}

func TestPieces(t *testing.T) {
	s := withSecret(t, sample)
	for name, pieces := range map[string][]string{
		"header values": {"s3cr3t/T0k", "en+value?x", "=ÿ1"},
		"DNS labels":    {hex.EncodeToString([]byte(sample))[:20], hex.EncodeToString([]byte(sample))[20:]},
		"bytes":         strings.Split(sample, ""),
	} {
		if found := all(s, pieces...); len(found) != 1 {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestLongValues(t *testing.T) {
	value := randomText(rand.New(rand.NewPCG(1, 2)), 190)
	s := withSecret(t, value)
	if found := all(s, value); len(found) == 0 {
		t.Fatal("the whole value is not found")
	}
	const piece = 31
	for at := 0; at+piece <= len(value); at++ {
		if found := all(s, "x"+value[at:at+piece]+"y"); len(found) == 0 {
			t.Errorf("a piece of %d bytes at %d is not found", piece, at)
		}
	}
}

func TestShortValues(t *testing.T) {
	if _, err := New(Options{Values: []Value{{Name: "PIN", Kind: Secret, Bytes: []byte("1234567")}}}); err == nil {
		t.Error("a value of seven bytes was taken")
	} else if strings.Contains(err.Error(), "1234567") || !strings.Contains(err.Error(), "PIN") {
		t.Errorf("the error should hold the name alone: %v", err)
	}
}

func TestPlaceholdersAreFoundAsText(t *testing.T) {
	s := scanner(t, Options{Values: []Value{{Name: "P", Kind: Placeholder, Bytes: []byte("placeholder-of-it")}}})
	if found := all(s, `{"a":"placeholder%2dof-it"}`); len(found) != 1 || found[0].Kind != Placeholder {
		t.Errorf("%v", found)
	}
	if found := all(s, hex.EncodeToString([]byte("placeholder-of-it"))); len(found) != 0 {
		t.Errorf("in hex: %v", found)
	}
}

func TestCanary(t *testing.T) {
	s := scanner(t, Options{Values: []Value{{Name: "DECOY", Kind: Canary, Bytes: []byte("decoy-1234567890")}}})
	if found := all(s, base64.StdEncoding.EncodeToString([]byte("decoy-1234567890"))); len(found) != 1 || found[0].Kind != Canary {
		t.Errorf("%v", found)
	}
}

// A finding is kept and printed: nothing of the value may be in it, and the
// scanner's own memory is read by nobody.
func TestFindingsHoldNoSecret(t *testing.T) {
	found := all(withSecret(t, sample), sample)
	if text := fmt.Sprintf("%v %+v %#v", found, found, found); strings.Contains(text, sample[:8]) {
		t.Errorf("%s", text)
	}
}

func TestSafe(t *testing.T) {
	s := scanner(t, Options{Rows: Table()})
	for text, safe := range map[string]int64{
		"nothing at all here.": 20, "an event\n\n": 10, "key: ghp_ABCDEFGH": 5,
	} {
		stream := s.Stream()
		stream.Write([]byte(text))
		if got := stream.Safe(false); got > safe || got < safe-2 {
			t.Errorf("%q: safe %d, not %d", text, got, safe)
		}
		if got := stream.Pending(true); got != 0 {
			t.Errorf("%q: %d bytes pending that are only noted", text, got)
		}
	}
}

func TestSizeStaysSmall(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var values []Value
	for i := range 6 {
		values = append(values, Value{Name: fmt.Sprint(i), Kind: Secret, Bytes: []byte(randomText(r, 40+8*i))})
	}
	s := scanner(t, Options{Values: values, Rows: Table()})
	if got := s.Size(); got > 2<<20 {
		t.Errorf("six secrets and the table take %d bytes", got)
	}
	t.Logf("%d bytes, %d states", s.Size(), len(s.machine.states))
}

// A match that begins inside one that fails is a match.
func TestOverlaps(t *testing.T) {
	s := withSecret(t, "abcabcabd1")
	for _, before := range []string{"abc", "abcabc", "ab", "abcabcabd", "%61%62%63", "abcabca%62c"} {
		if found := all(s, before+"abcabcabd1"); len(found) != 1 {
			t.Errorf("behind %q: %v", before, found)
		}
	}
}
