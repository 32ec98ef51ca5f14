package scan

import (
	"crypto/sha256"
	"encoding/base64"
	"hash/crc32"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// credential makes one of r's form.
func (r *row) credential(rnd *rand.Rand) string {
	var b strings.Builder
	b.WriteString(r.Keyword)
	for _, p := range r.parts {
		members := p.class.unit()
		for range p.min + rnd.IntN(p.max-p.min+1) {
			b.WriteByte(members[rnd.IntN(len(members))])
		}
	}
	text := b.String()
	switch {
	case r.Keyword == "eyJh":
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
			base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"someone"}`)) + "." + randomText(rnd, 43)
	case strings.HasPrefix(r.ID, "openai-") && r.ID != "openai-user":
		return text[:len(r.Keyword)+10] + "T3BlbkFJ" + text[len(r.Keyword)+18:]
	case strings.HasPrefix(r.ID, "aws-secret"):
		return text[:len(r.Keyword)] + ` = "` + text[len(text)-40:]
	case r.Check != nil:
		body := text[strings.IndexByte(text, '_')+1 : len(text)-6]
		return text[:len(text)-6] + checksum(body)
	}
	return text
}

func checksum(body string) string {
	sum, n := make([]byte, 6), crc32.ChecksumIEEE([]byte(body))
	for i := 5; i >= 0; i-- {
		sum[i], n = base62Digits[n%62], n/62
	}
	return string(sum)
}

func names(found []Finding) []string {
	var ids []string
	for _, f := range found {
		ids = append(ids, f.Name)
	}
	return ids
}

func TestTable(t *testing.T) {
	s := scanner(t, Options{Rows: Table()})
	seen := map[string]bool{}
	for i := range s.rows {
		r := &s.rows[i]
		if r.ID == "" || r.Provider == "" || r.Source == "" || seen[r.ID] {
			t.Errorf("row %q: a row needs an ID of its own, a provider and a source", r.ID)
		}
		seen[r.ID] = true
		rnd := rand.New(rand.NewPCG(1, uint64(i)))
		for range 20 {
			text := r.credential(rnd)
			found := 0
			for _, before := range []string{"", "token: ", `{"a":"x\n`, "q=%3D", "\x00"} {
				if r.Inside {
					before += "012345678"
				}
				for _, behind := range []string{"", "\n", `"}`, " and more"} {
					if slices.Contains(names(all(s, before+text+behind)), r.ID) {
						found++
					}
				}
			}
			// A random part may fall below its least entropy.
			if found != 20 && found != 0 {
				t.Errorf("%s: found in %d of 20 places: %q", r.ID, found, text)
			}
			if found == 0 && Entropy([]byte(text[len(r.Keyword):])) >= r.Entropy {
				t.Errorf("%s: not found: %q", r.ID, text)
			}
		}
	}
}

func TestNoCredentials(t *testing.T) {
	s := scanner(t, Options{Rows: Table()})
	r := rand.New(rand.NewPCG(7, 7))
	body := randomText(r, 30)
	good := "ghp_" + body + checksum(body)
	if found := all(s, good); len(found) != 1 || found[0].Length != 40 {
		t.Fatalf("%v", found)
	}
	for what, text := range map[string]string{
		"a wrong checksum":      "ghp_" + body + "000000",
		"another alphabet":      "ghp_" + body[:29] + "-" + checksum(body),
		"too short":             good[:39],
		"too long":              good + "x",
		"the end of a word":     "x" + good,
		"no randomness":         "glpat-xxxxxxxxxxxxxxxxxxxx",
		"an example":            "AKIA" + strings.Repeat("A", 16),
		"a path":                "aws_secret_access_key: " + strings.Repeat("abcde/fghi", 4),
		"three parts, not JSON": "eyJhbGciOi" + strings.Repeat("A", 20) + ".e30." + strings.Repeat("a", 43),
	} {
		if found := all(s, text); len(found) != 0 {
			t.Errorf("%s: %v", what, found)
		}
	}
}

func TestAllowedValues(t *testing.T) {
	body := randomText(rand.New(rand.NewPCG(7, 8)), 30)
	token := "npm_" + body + checksum(body)
	s := scanner(t, Options{Rows: Table(), Allowed: [][32]byte{sha256.Sum256([]byte(token))}})
	if found := all(s, "x "+token+" y"); len(found) != 0 {
		t.Errorf("%v", found)
	}
	if found := all(scanner(t, Options{Rows: Table()}), "x "+token+" y"); len(found) != 1 {
		t.Errorf("%v", found)
	}
}

func TestRowErrors(t *testing.T) {
	for _, r := range []Row{
		{ID: "a", Keyword: "ab", Form: "w20"},
		{ID: "b", Keyword: "abc", Form: ""},
		{ID: "c", Keyword: "abcd", Form: "w"},
		{ID: "d", Keyword: "abcd", Form: "q20"},
		{ID: "e", Keyword: "abcd", Form: "w20-10"},
		{ID: "f", Keyword: "abcd", Form: "w600"},
		{ID: "g", Keyword: "abcd", Form: "'x"},
	} {
		if _, err := New(Options{Rows: []Row{r}}); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

func TestRandomNames(t *testing.T) {
	for host, want := range map[string]bool{
		"api.example.com": false,
		"my-service-production.eu-west-1.elb.example.com":         false,
		"raw.cdn.assets.static.downloads.example.com":             false,
		"mzxw6ytboi4dkmrqgu3tomzvgq3tsnzy.example.com":            true,
		"4f2a9c81e07b3d65a1f0.example.com":                        true,
		"4f2a9c81e0.7b3d65a1f0.93bc0d1e5f.62a7d8c4b1.example.com": true,
		"example.com": false,
		"2001:db8::1": false,
	} {
		if got := RandomName(host); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

func TestRandomQueries(t *testing.T) {
	for raw, want := range map[string]bool{
		"":                                   false,
		"q=how+to+write+a+parser+in+go":      false,
		"page=2&per_page=100&sort=updated":   false,
		"path=src/internal/scan/stream.go":   false,
		"d=c2VjcmV0IHRoaW5ncyBvZiBtaW5l":     true,
		"4f2a9c81e07b3d65a1f093bc0d1e5f62a7": true,
		"x=%zz":                              true,
		"u=" + url.QueryEscape("q9Xv+2Lk/77aBcPz01MnQw=="): true,
	} {
		if got := RandomQuery(raw); got != want {
			t.Errorf("%s: %v", raw, got)
		}
	}
}
