package gateway

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
	"claude-bottle/internal/wire"
)

// The values that the gateways under test look for. None is anybody's.
const (
	readable = "rd-7Xk2mQ9vLp4ZtB8nW3cY"
	hidden   = "bk+5Hs9/wE2rT7uJ4mX8qVa"
	holder   = "pl-9Bd3kF7hN2sG6xC1zMwR"
	decoy    = "dc.4Jw8pR3nV6yT1qK9eLzH"
	shop     = "xoxb-1234567890-1234567890-AbCdEfGhIjKlMnOpQrStUvWx" // a credential by its form
)

// watching has a gateway look for them.
func watching(s *server) {
	s.watchFor([]wire.Watched{
		{Name: "READABLE", Value: []byte(readable)}, {Name: "DECOY", Value: []byte(decoy), Decoy: true},
	}, heldValues{})
}

// heldValues are what a broker would have looked for.
type heldValues struct{}

func (heldValues) Values() []scan.Value {
	return []scan.Value{
		{Name: "BROKERED", Kind: scan.Secret, Bytes: []byte(hidden)},
		{Name: "BROKERED", Kind: scan.Placeholder, Bytes: []byte(holder)},
	}
}

// scanned is a policy whose TLS is opened.
func scanned(mode string, hosts ...string) policy.Egress {
	e := everything(hosts...)
	e.Scan.Mode = mode
	return e
}

// collector is an origin that remembers all that it was sent.
type collector struct {
	mu   sync.Mutex
	got  bytes.Buffer
	torn bytes.Buffer // of requests that were cut
}

func (s *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var head bytes.Buffer
	fmt.Fprintf(&head, "%s %s %s\n", r.Method, r.Host, r.RequestURI)
	_ = r.Header.Write(&head)
	_ = r.Trailer.Write(&head)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got.Write(head.Bytes())
	s.got.Write(body)
	if err != nil { // torn, and nobody waits
		s.torn.Write(s.got.Bytes())
		s.got.Reset()
		return
	}
	_, _ = io.WriteString(w, "taken")
}

// drain is what it was sent since it was asked last.
func (s *collector) drain() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.got.Reset()
	return s.got.String()
}

// looked is a gateway that looks for secrets, an origin behind it, and ways to
// speak to it.
type looked struct {
	*inspected
	sink *collector
	w    *world
	ways map[string]looking
}

type looking struct {
	client *http.Client
	base   string
}

func lookWorld(t testing.TB, e policy.Egress, opts ...option) *looked {
	t.Helper()
	w := newWorld()
	f := &looked{inspectWorld(t, w, e, append([]option{watching}, opts...)...), &collector{}, w, nil}
	f.host("a.example")
	f.ways = map[string]looking{
		"plain":     {f.client(nil), "http://a.example"},
		"inspected": {f.speak(protoHTTP1), "https://a.example"},
		"h2":        {f.speak(protoHTTP2), "https://a.example"},
	}
	return f
}

// host puts the sink behind a name.
func (f *looked) host(name string) {
	f.serve(f.w, name, f.sink.ServeHTTP)
	plain := httptest.NewServer(f.sink)
	f.t.Cleanup(plain.Close)
	f.w.host(name, 80, plain.Listener.Addr().String())
}

// written are ways to write a value.
func written(value string) map[string]string {
	escaped := ""
	for _, b := range []byte(value) {
		escaped += fmt.Sprintf(`\u%04x`, b)
	}
	back := []byte(value)
	slices.Reverse(back)
	all := map[string]string{
		"text": value, "url": url.QueryEscape(value), "every byte": "%" + strings.ToUpper(strings.Join(pairs(hex.EncodeToString([]byte(value))), "%")),
		"unicode": escaped, "hex": hex.EncodeToString([]byte(value)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(value))),
		"base32": base32.StdEncoding.EncodeToString([]byte(value)), "reversed": string(back),
	}
	for offset := range 3 {
		padded := []byte(strings.Repeat("-", offset) + value)
		all[fmt.Sprint("base64 at ", offset)] = base64.StdEncoding.EncodeToString(padded)
		all[fmt.Sprint("base64url at ", offset)] = base64.RawURLEncoding.EncodeToString(padded)
	}
	return all
}

func pairs(digits string) []string {
	var all []string
	for ; digits != ""; digits = digits[2:] {
		all = append(all, digits[:2])
	}
	return all
}

// carriers put a text into a request.
var carriers = map[string]func(base, text string) (*http.Request, error){
	"body": func(base, text string) (*http.Request, error) {
		return http.NewRequest(http.MethodPost, base+"/x", strings.NewReader(`{"a":"`+text+`"}`))
	},
	"large body": func(base, text string) (*http.Request, error) {
		pad := strings.Repeat("some text ", 5000)
		return http.NewRequest(http.MethodPost, base+"/x", strings.NewReader(pad+text+" "+pad))
	},
	"chunked body": func(base, text string) (*http.Request, error) {
		return http.NewRequest(http.MethodPost, base+"/x", io.MultiReader(&dripping{text: "start " + text + " end"}))
	},
	"query": func(base, text string) (*http.Request, error) {
		return http.NewRequest(http.MethodGet, base+"/x?q="+strings.ReplaceAll(text, "+", "%2B"), nil)
	},
	"header": func(base, text string) (*http.Request, error) {
		r, err := http.NewRequest(http.MethodGet, base+"/x", nil)
		r.Header.Set("X-Note", "it is "+text)
		return r, err
	},
	"trailer": func(base, text string) (*http.Request, error) {
		r, err := http.NewRequest(http.MethodPost, base+"/x", io.MultiReader(strings.NewReader("body")))
		r.Trailer = http.Header{"X-Note": {text}}
		return r, err
	},
}

// dripping says its text three bytes at a time.
type dripping struct{ text string }

func (d *dripping) Read(p []byte) (int, error) {
	if d.text == "" {
		return 0, io.EOF
	}
	n := copy(p, d.text[:min(3, len(d.text))])
	d.text = d.text[n:]
	return n, nil
}

// Whatever it is written in, wherever it is put and whichever way it takes, a
// secret of the run does not leave.
func TestEncodingsAndPlaces(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"))
	for way, by := range f.ways {
		for _, value := range []string{readable, hidden} {
			for encoding, text := range written(value) {
				for where, put := range carriers {
					r, err := put(by.base, text)
					if err != nil {
						continue // no URL can hold it
					}
					answer := whole(t)(by.client.Do(r)) //nolint:bodyclose // whole closes it
					if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, "rule: scan") || strings.Contains(answer.body, text) {
						t.Errorf("%s, %s in the %s: %d %q", way, encoding, where, answer.StatusCode, answer.body)
					}
				}
			}
			got := f.sink.drain()
			if piece := holdsPiece(got+f.sink.tore(), value); got != "" || piece != "" {
				t.Errorf("%s: %.1000q arrived, and the piece %q", way, got, piece)
			}
		}
	}
	f.holdsNone(t, readable, hidden)
}

// tore is what it was sent of requests that were cut, since it was asked last.
func (s *collector) tore() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.torn.Reset()
	return s.torn.String()
}

// holdsPiece is most of a value, in one of the encodings, where it is in a
// text.
func holdsPiece(text, value string) string {
	for _, form := range written(value) {
		if piece := form[:len(form)*3/4]; strings.Contains(text, piece) {
			return piece
		}
	}
	return ""
}

// holdsNone searches the record.
func (f *looked) holdsNone(t *testing.T, values ...string) {
	t.Helper()
	for _, e := range f.events() {
		line := fmt.Sprint(e)
		for _, value := range values {
			if holdsPiece(line, value) != "" {
				t.Errorf("the record holds it: %s", line)
			}
		}
	}
}

// A value in pieces is found where a server would join them.
func TestSplitOverHeads(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"))
	half, rest := readable[:9], readable[9:]
	for way, by := range f.ways {
		for what, change := range map[string]func(r *http.Request){
			"headers":       func(r *http.Request) { r.Header.Set("X-Part-1", half); r.Header.Set("X-Part-2", rest) },
			"one header":    func(r *http.Request) { r.Header["X-Part"] = []string{half, rest} },
			"path segments": func(r *http.Request) { r.URL.Path = "/" + half + "/" + rest },
			"queries":       func(r *http.Request) { r.URL.RawQuery = "a=" + half + "&b=" + rest },
			"path, query":   func(r *http.Request) { r.URL.Path, r.URL.RawQuery = "/"+half, "b="+rest },
			"a cookie":      func(r *http.Request) { r.Header.Set("Cookie", "a="+readable) },
			"a file name": func(r *http.Request) {
				r.Header.Set("Content-Disposition", `attachment; filename="`+readable+`.txt"`)
			},
		} {
			answer := fetch(t, by.client, "GET", by.base+"/", nil, change)
			if answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s, %s: %d", way, what, answer.StatusCode)
			}
		}
		if got := f.sink.drain(); got != "" {
			t.Errorf("%s: %q arrived", way, got)
		}
	}
	f.holdsNone(t, readable)
}

// What is ordinary leaves as it is.
func TestOrdinaryTrafficLeaves(t *testing.T) {
	for _, mode := range []string{"", policy.ScanBlock, policy.ScanRedact, policy.ScanWarn} {
		f := lookWorld(t, scanned(mode, "a.example"))
		body := strings.Repeat("func main() { fmt.Println(\"hello, world\") } // aGVsbG8gd29ybGQ= 0xdeadbeef\n", 2000)
		for way, by := range f.ways {
			for _, sent := range []string{"", "x", body, body[:4000]} {
				answer := fetch(t, by.client, "POST", by.base+"/a/b?c=d&e=f", strings.NewReader(sent))
				if got := f.sink.drain(); answer.StatusCode != 200 || !strings.HasSuffix(got, sent) {
					t.Errorf("%s %s: %d, %d of %d bytes", mode, way, answer.StatusCode, len(got), len(sent))
				}
			}
			answer := fetch(t, by.client, "POST", by.base+"/", &dripping{text: body[:3000]})
			if got := f.sink.drain(); answer.StatusCode != 200 || !strings.HasSuffix(got, body[:3000]) {
				t.Errorf("%s %s, dripping: %d", mode, way, answer.StatusCode)
			}
		}
		for _, e := range f.events() {
			if e.Decision != audit.Allowed || e.Kind == audit.Found {
				t.Errorf("%s: %+v", mode, e)
			}
		}
	}
}

// TestActions is the table of docs/secrets.md.
func TestActions(t *testing.T) {
	w := newWatch(map[string]bool{"READABLE": true}, policy.Scan{})
	secret := func(name string) scan.Finding { return scan.Finding{Kind: scan.Secret, Name: name} }
	for _, test := range []struct {
		what              string
		f                 scan.Finding
		at                place
		harness, wildcard bool
		plain             bool
		want              [4]action // of no mode, block, redact, warn
	}{
		{what: "brokered", f: secret("B"), at: inBody, want: [4]action{block, block, redact, block}},
		{what: "brokered, harness", f: secret("B"), at: inBody, harness: true, want: [4]action{redact, block, redact, block}},
		{what: "readable", f: secret("READABLE"), at: inBody, want: [4]action{block, block, redact, note}},
		{what: "readable, harness", f: secret("READABLE"), at: inBody, harness: true, want: [4]action{redact, block, redact, note}},
		{what: "readable, used", f: secret("READABLE"), at: inCredential, want: [4]action{note, block, redact, note}},
		{what: "readable, used in plain HTTP", f: secret("READABLE"), at: inCredential, plain: true, want: [4]action{block, block, redact, note}},
		{what: "readable, used at a wildcard", f: secret("READABLE"), at: inCredential, wildcard: true, want: [4]action{block, block, redact, note}},
		{what: "readable, used by the harness", f: secret("READABLE"), at: inCredential, harness: true, want: [4]action{note, note, note, note}},
		{what: "placeholder in a head", f: scan.Finding{Kind: scan.Placeholder}, at: inHeader, want: [4]action{pass, pass, pass, pass}},
		{what: "placeholder in a body", f: scan.Finding{Kind: scan.Placeholder}, at: inBody, want: [4]action{block, block, redact, note}},
		{what: "another's", f: scan.Finding{Kind: scan.Credential}, at: inBody, want: [4]action{note, block, redact, note}},
		{what: "another's, used", f: scan.Finding{Kind: scan.Credential}, at: inCredential, want: [4]action{note, block, redact, note}},
		{what: "decoy", f: scan.Finding{Kind: scan.Canary}, at: inBody, want: [4]action{seal, seal, seal, seal}},
		{what: "decoy, harness", f: scan.Finding{Kind: scan.Canary}, at: inBody, harness: true, want: [4]action{redact, redact, redact, redact}},
		{what: "decoy in a harness's URL", f: scan.Finding{Kind: scan.Canary}, at: inURL, harness: true, want: [4]action{seal, seal, seal, seal}},
	} {
		for i, mode := range []string{"", policy.ScanBlock, policy.ScanRedact, policy.ScanWarn} {
			b := bearing{Decision: policy.Decision{Scan: mode, Harness: test.harness, Wildcard: test.wildcard}, secure: !test.plain}
			if got := w.act(sighting{Finding: test.f, at: test.at}, b); got != test.want[i] {
				t.Errorf("%s, mode %q: %d, want %d", test.what, mode, got, test.want[i])
			}
		}
	}
}

// What is redacted leaves with asterisks, as long as before.
func TestRedacts(t *testing.T) {
	e := scanned(policy.ScanRedact, "a.example")
	f := lookWorld(t, e)
	stars := strings.Repeat("*", len(readable))
	for way, by := range f.ways {
		for _, pad := range []int{0, 20_000} {
			before := strings.Repeat("#", pad)
			answer := fetch(t, by.client, "POST", by.base+"/x", strings.NewReader(before+`{"a":"`+readable+`"}`+before), func(r *http.Request) {
				r.Header.Set("X-Note", "say "+readable+" now")
			})
			got := f.sink.drain()
			if answer.StatusCode != 200 || !strings.HasSuffix(got, before+`{"a":"`+stars+`"}`+before) || !strings.Contains(got, "X-Note: say "+stars+" now") {
				t.Errorf("%s: %d %.300q", way, answer.StatusCode, got)
			}
		}
		if answer := fetch(t, by.client, "GET", by.base+"/"+readable, nil); answer.StatusCode != http.StatusForbidden {
			t.Errorf("%s: a secret in a path: %d", way, answer.StatusCode)
		}
	}
	f.eventually("a line that says it", func(e audit.Event) bool {
		return e.Kind == audit.Found && e.Rule == ruleScan && e.Decision == audit.Allowed && e.Reason == "redacted: the body holds the secret READABLE"
	})
	f.holdsNone(t, readable)
}

// A warning is a line of the record, once for each place.
func TestWarns(t *testing.T) {
	f := lookWorld(t, scanned(policy.ScanWarn, "a.example"))
	by := f.ways["inspected"]
	for range 3 {
		if answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(readable+" "+shop)); answer.StatusCode != 200 || !strings.Contains(f.sink.drain(), readable) {
			t.Fatalf("%d", answer.StatusCode)
		}
	}
	var lines []string
	for _, e := range f.events() {
		if e.Kind == audit.Found {
			lines = append(lines, e.Reason)
		}
	}
	want := []string{"let through: the body holds the secret READABLE", "let through: the body holds a credential (slack-bot)"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
	if answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(hidden)); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a brokered value: %d", answer.StatusCode)
	}
}

// Programs that authenticate themselves go on working, and a harness that is
// shown a secret does too.
func TestOwnUseGoesOn(t *testing.T) {
	e := everything("a.example", "*.wild.example")
	e.Allow = append(e.Allow, policy.Allow{Host: "model.example", Harness: true, Source: "harness h"})
	f := lookWorld(t, e)
	f.host("model.example")
	f.host("b.wild.example")
	with := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	basic := base64.StdEncoding.EncodeToString([]byte("me:" + readable))
	for what, test := range map[string]struct {
		url    string
		change func(*http.Request)
		want   int
	}{
		"bearer":              {"https://a.example/", with("Authorization", "Bearer "+readable), 200},
		"basic":               {"https://a.example/", with("Authorization", "Basic "+basic), 200},
		"key":                 {"https://a.example/", with("X-Api-Key", readable), 200},
		"another's":           {"https://a.example/", with("Authorization", "Bearer "+shop), 200},
		"at a wildcard":       {"https://b.wild.example/", with("Authorization", "Bearer "+readable), 403},
		"in plain HTTP":       {"http://a.example/", with("Authorization", "Bearer "+readable), 403},
		"a brokered value":    {"https://a.example/", with("Authorization", "Bearer "+hidden), 403},
		"in another header":   {"https://a.example/", with("User-Agent", readable), 403},
		"towards the harness": {"https://model.example/", with("X-Api-Key", readable), 200},
	} {
		client := f.speak(protoHTTP1)
		if answer := fetch(t, client, "GET", test.url, nil, test.change); answer.StatusCode != test.want {
			t.Errorf("%s: %d %q", what, answer.StatusCode, answer.body)
		}
	}
	f.sink.drain()
	for _, version := range versions {
		text := `{"messages":"env says ` + readable + ` and ` + holder + ` and ` + decoy + ` and ` + shop + `"}`
		answer := fetch(t, f.speak(version), "POST", "https://model.example/v1", strings.NewReader(text))
		got := f.sink.drain()
		if answer.StatusCode != 200 || strings.Contains(got, readable) || strings.Contains(got, holder) || strings.Contains(got, decoy) || !strings.Contains(got, shop) {
			t.Errorf("%s: %d %q", version, answer.StatusCode, got)
		}
	}
}

// An allowed hash takes a credential out of what is looked for, and no secret.
func TestAllowedHashes(t *testing.T) {
	e := scanned(policy.ScanBlock, "a.example")
	e.Scan.Allowed = []string{hashOf(shop), hashOf(readable)}
	f := lookWorld(t, e)
	by := f.ways["inspected"]
	if answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader("x "+shop+" y")); answer.StatusCode != 200 {
		t.Errorf("%d %s", answer.StatusCode, answer.body)
	}
	if answer := fetch(t, by.client, "POST", by.base+"/", strings.NewReader(readable)); answer.StatusCode != http.StatusForbidden {
		t.Errorf("%d", answer.StatusCode)
	}
}
