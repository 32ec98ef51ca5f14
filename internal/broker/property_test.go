package broker

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Whatever a request is made of, the value is in what goes on only where its
// placeholder was a whole credential, towards its host, over TLS.
func TestValueGoesNowhereElse(t *testing.T) {
	b := broker(t, github(), other())
	text := rapid.SampledFrom([]string{
		fake, fake[:20], fake[20:], strings.ToUpper(fake), "Bearer ", "token ", basic("x", fake), basic(fake, ""), fake2, "=", " ", "; ", "/", "x", "Basic ", `"`,
	})
	words := rapid.Map(rapid.SliceOfN(text, 0, 4), func(s []string) string { return strings.Join(s, "") })
	names := rapid.SampledFrom([]string{"Authorization", "X-Api-Key", "Cookie", "User-Agent", "Private-Token", "Accept", "X-A"})
	rapid.Check(t, func(t *rapid.T) {
		r := Request{
			Verified: rapid.Bool().Draw(t, "verified"),
			Method:   rapid.SampledFrom([]string{"GET", "POST", "TRACE"}).Draw(t, "method"),
			Host:     rapid.SampledFrom([]string{"api.github.com", "a.example.com", "evil.example.org"}).Draw(t, "host"),
			Port:     rapid.SampledFrom([]int{443, 80}).Draw(t, "port"),
			Path:     "/" + rapid.SampledFrom([]string{"", "user", "user/keys", fake}).Draw(t, "path"),
			RawQuery: rapid.SampledFrom([]string{"", "q=1", "key=" + fake}).Draw(t, "query"),
			Header:   http.Header{},
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Header.Add(names.Draw(t, "name"), words.Draw(t, "value"))
		}
		out, err := b.Apply(r)
		if err != nil {
			if text := fmt.Sprint(err, out); strings.Contains(text, real) || strings.Contains(text, real2) {
				t.Fatalf("a refusal holds a value: %s", text)
			}
			return
		}
		sent := plain(out)
		if n := strings.Count(sent, real); n != 0 && (n > 1 || r.Host != "api.github.com" || !r.Verified || r.Port != 443 || r.Method == "TRACE") {
			t.Fatalf("the value leaves %d times: %+v", n, r)
		}
		if strings.Contains(sent, real2) && (r.Host != "a.example.com" || !r.Verified) {
			t.Fatalf("the other value leaves: %+v", r)
		}
		if strings.Contains(sent, fake) || strings.Contains(sent, fake2) {
			t.Fatalf("a placeholder leaves: %+v", out)
		}
	})
}

// plain is all that goes on, Basic decoded.
func plain(out Result) string {
	var b strings.Builder
	b.WriteString(out.RawQuery)
	for _, name := range slices.Sorted(maps.Keys(out.Header)) {
		for _, value := range out.Header[name] {
			b.WriteString(name + value)
			if _, rest, ok := strings.Cut(value, "Basic "); ok {
				text, _ := base64.StdEncoding.DecodeString(rest)
				b.Write(text)
			}
		}
	}
	return b.String()
}

func TestPlaceholder(t *testing.T) {
	for _, value := range []string{
		real, "sk-ant-oat01-" + strings.Repeat("aB3-_", 19), "0123456789abcdef0123456789abcdef", "AKIAIOSFODNN7EXAMPLE",
		"8c0d5d0e-6f5e-4b3a-9c57-1c1f8d0f7a11", "hunter2hunter2", "12345678", "xoxb-123456789012-123456789012-abcdefghijklmnopqrstuvwx",
	} {
		p, err := Placeholder(value)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := Placeholder(value)
		if p == value || p == again {
			t.Errorf("%s: %s, %s", value, p, again)
		}
		if len(p) != len(value) && len(value) >= 20 {
			t.Errorf("%s: %s is of another length", value, p)
		}
		t.Log(value, p)
	}
	for value, prefix := range map[string]string{real: "ghp_", "sk-ant-oat01-" + strings.Repeat("aB3xy", 19): "sk-ant-oat01-", "AKIAIOSFODNN7EXAMPLE": "AKIA"} {
		if p, _ := Placeholder(value); !strings.HasPrefix(p, prefix) || p[len(prefix):len(prefix)+8] == value[len(prefix):len(prefix)+8] {
			t.Errorf("%s: %s", value, p)
		}
	}
	for _, value := range []string{"", "short", "line\nbreak-in-it", "nul\x00nul\x00nul"} {
		if _, err := Placeholder(value); err == nil {
			t.Errorf("%q was taken", value)
		}
	}
}
