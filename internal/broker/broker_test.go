package broker

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

const (
	real  = "ghp_R3alR3alR3alR3alR3alR3alR3alR3al0001"
	fake  = "ghp_F4keF4keF4keF4keF4keF4keF4keF4ke0002"
	real2 = "another-real-value-of-77"
	fake2 = "another-fake-thing-of-88"
)

func broker(t testing.TB, secrets ...Secret) *Broker {
	t.Helper()
	b, err := New(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func github() Secret {
	return Secret{Entry: Entry{Name: "GITHUB_TOKEN", Hosts: []string{"api.github.com", "github.com"}}, Pair: Pair{Value: real, Placeholder: fake}}
}

func other() Secret {
	return Secret{Entry: Entry{Name: "OTHER", Hosts: []string{"*.example.com", "example.net:8443"}}, Pair: Pair{Value: real2, Placeholder: fake2}}
}

// get is an ordinary request.
func get(header ...string) Request {
	r := Request{Verified: true, Method: "GET", Host: "api.github.com", Port: 443, Path: "/repos/acme/web", Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

func TestReplaced(t *testing.T) {
	b := broker(t, github(), other())
	for name, test := range map[string]struct{ header, value, want string }{
		"bearer":           {"Authorization", "Bearer " + fake, "Bearer " + real},
		"gh":               {"Authorization", "token " + fake, "token " + real},
		"bare":             {"X-Api-Key", fake, real},
		"quoted":           {"Authorization", `Token token="` + fake + `"`, `Token token="` + real + `"`},
		"git":              {"Authorization", basic("x-access-token", fake), basic("x-access-token", real)},
		"as the user":      {"Authorization", basic(fake, ""), basic(real, "")},
		"as git once said": {"Authorization", basic(fake, "x-oauth-basic"), basic(real, "x-oauth-basic")},
	} {
		r := get(test.header, test.value, "Accept-Encoding", "gzip, br", "Range", "bytes=0-7")
		before := r.Header.Clone()
		out, err := b.Apply(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := out.Header.Get(test.header); got != test.want {
			t.Errorf("%s: %q", name, got)
		}
		if out.Header.Get("Accept-Encoding") != "identity" || out.Header.Get("Range") != "" {
			t.Errorf("%s: %v", name, out.Header)
		}
		if fmt.Sprint(r.Header) != fmt.Sprint(before) || !slices.Equal(out.Used, []string{"GITHUB_TOKEN"}) {
			t.Errorf("%s: used %v, the request's own header is %v", name, out.Used, r.Header)
		}
	}
}

// What a host kept of an echo is not given out in slices, with the secret or
// without it.
func TestNoSlices(t *testing.T) {
	s := github()
	s.Anonymous = true
	for _, auth := range []string{"", "Bearer " + fake} {
		r := get("Authorization", auth, "Range", "bytes=0-7", "If-Range", "x", "Request-Range", "bytes=0-7", "X-Ms-Range", "bytes=0-7")
		out, err := broker(t, s).Apply(r)
		if err != nil || len(out.Header) != 2 { // Authorization and Accept-Encoding
			t.Errorf("%v: %v", err, out.Header)
		}
	}
}

// An agent that wants the value somewhere else gets a refusal, and the
// refusal says nothing of it.
func TestPlaces(t *testing.T) {
	b := broker(t, github(), other())
	bearer := "Bearer " + fake
	multipart := "multipart/form-data; boundary=" + fake
	for name, change := range map[string]func(*Request){
		"another host":           func(r *Request) { r.Host = "evil.example.org" },
		"a redirect's host":      func(r *Request) { r.Host = "api.github.com.evil.example.org" },
		"a host below":           func(r *Request) { r.Host = "x.api.github.com" },
		"another secret's host":  func(r *Request) { r.Host = "a.example.com" },
		"another port":           func(r *Request) { r.Port = 8443 },
		"no TLS":                 func(r *Request) { r.Verified = false },
		"TRACE":                  func(r *Request) { r.Method = "TRACE" },
		"the path":               func(r *Request) { r.Path = "/repos/" + fake },
		"the path, encoded":      func(r *Request) { r.Path = "/repos/%67hp_" + fake[4:] },
		"the query":              func(r *Request) { r.RawQuery = "q=" + fake },
		"the query, in base64":   func(r *Request) { r.RawQuery = "q=" + base64.URLEncoding.EncodeToString([]byte(fake)) },
		"twice in a header":      func(r *Request) { r.Header.Set("Authorization", bearer+" "+fake) },
		"twice in one word":      func(r *Request) { r.Header.Set("Authorization", bearer+fake) },
		"one header twice":       func(r *Request) { r.Header.Add("Authorization", bearer) },
		"cut in two":             func(r *Request) { r.Header.Set("X-A", fake[:20]); r.Header.Set("X-B", fake[20:]) },
		"a cookie":               func(r *Request) { r.Header.Set("Cookie", "a="+fake) },
		"a header's name":        func(r *Request) { r.Header["X-"+fake] = []string{"x"} },
		"an ordinary header":     func(r *Request) { r.Header.Set("User-Agent", fake) },
		"a multipart's boundary": func(r *Request) { r.Header.Set("Content-Type", multipart) },
		"a file name":            func(r *Request) { r.Header.Set("Content-Disposition", `attachment; filename="`+fake+`"`) },
		"part of another":        func(r *Request) { r.Header.Set("Authorization", "Bearer x"+fake) },
		"the name in Basic":      func(r *Request) { r.Header.Set("Authorization", basic(fake, "mine")) },
		"both in Basic":          func(r *Request) { r.Header.Set("Authorization", basic(fake, fake)) },
		"in hexadecimal":         func(r *Request) { r.Header.Set("X-Hex", hex.EncodeToString([]byte(fake))) },
		"the other's here":       func(r *Request) { r.Header.Set("X-Other", fake2) },
		"in another case":        func(r *Request) { r.Header.Set("Authorization", "Bearer "+strings.ToUpper(fake)) },
		"a referrer":             func(r *Request) { r.Header.Set("Referer", "https://x.example/?t="+url.QueryEscape(fake)) },
		"dot segments":           func(r *Request) { r.Path = "/repos/../user" },
		"encoded dot segments":   func(r *Request) { r.Path = "/repos/%2e%2e/user" },
		"an empty segment":       func(r *Request) { r.Path = "/user//keys" },
		"parameters":             func(r *Request) { r.Path = "/user;x=1/keys" },
		"encoded twice":          func(r *Request) { r.Path = "/user%252fkeys" },
		"an object's metadata":   func(r *Request) { r.Header.Set("X-Amz-Meta-Token", fake) },
		"Google's metadata":      func(r *Request) { r.Header["x-goog-meta-key"] = []string{fake} },
		"a path in a header":     func(r *Request) { r.Header.Set("X-Original-Url", "/user/keys") },
		"one in another":         func(r *Request) { r.Header.Set("X_Rewrite_URL", "/user/keys") },
	} {
		r := get("Authorization", bearer)
		change(&r)
		out, err := b.Apply(r)
		var refusal *Refusal
		if !errors.As(err, &refusal) {
			t.Errorf("%s: not refused: %v, %+v", name, err, out.Header)
			continue
		}
		if text := fmt.Sprintf("%v %+v", err, out); strings.Contains(text, real) || strings.Contains(text, fake) {
			t.Errorf("%s: %s", name, text)
		}
	}
	// The same without any change is let through, or the table proves nothing.
	if _, err := b.Apply(get("Authorization", bearer)); err != nil {
		t.Error(err)
	}
}

func TestPaths(t *testing.T) {
	s := github()
	s.Paths = []string{"/repos/acme/**", "/user", "/legacy/", "/@acme%2f*", "/@acme/*", "/@one%2Fway"}
	b := broker(t, s)
	for path, ok := range map[string]bool{
		"/repos/acme": true, "/repos/acme/web/issues": true, "/user": true, "/user/": true, "/legacy": true, "/legacy/": true, "/legacy/x": false,
		"/@acme%2fweb": true, "/@acme%2Fweb": true, "/@acme/web": true, "/@acme%2fweb%2fevil": false, "/@acme%2f..": false,
		"/@one%2fway": false, "/@one/way": false, "/@acme%252fweb": false,
		"/repos/acme-evil/web": false, "/repos/evil/acme": false, "/": false, "/users": false,
		"/repos/acme%2fweb": false, "/repos/acme/a%2fb": true, "/Repos/acme/web": false, "": false, "*": false,
	} {
		r := get("Authorization", "Bearer "+fake)
		r.Path = path
		if _, err := b.Apply(r); (err == nil) != ok {
			t.Errorf("%q: %v", path, err)
		}
	}
	r := get("Authorization", "Bearer "+fake, "X-Original-Url", "/user/keys")
	if _, err := b.Apply(r); err == nil {
		t.Error("a header that rewrites the path was let through")
	}
}

func TestMinting(t *testing.T) {
	s := github()
	s.Hosts = append(s.Hosts, "gitlab.com", "registry.corp.example", "sts.eu-west-1.amazonaws.com", "api.anthropic.com", "api.openai.com")
	b := broker(t, s)
	for place, ok := range map[string]bool{
		"api.github.com /user/keys":                             false,
		"api.github.com /User/Keys":                             false,
		"api.github.com /user%2Fkeys":                           false,
		"api.github.com /user/keys/":                            false,
		"api.github.com /user":                                  true,
		"api.github.com /repos/a/b/keys":                        false,
		"api.github.com /repos/a/b/pulls":                       true,
		"api.github.com /app/installations/12/access_tokens":    false,
		"github.com /login/oauth/access_token":                  false,
		"github.com /acme/web.git/git-upload-pack":              true,
		"gitlab.com /api/v4/projects/a%2Fb/access_tokens":       false,
		"gitlab.com /api/v4/projects/a%2Fb/issues":              true,
		"registry.corp.example /-/npm/v1/tokens":                false,
		"registry.corp.example /npm/-/user/org.couchdb.user:me": false,
		"registry.corp.example /@acme%2fweb":                    true,
		"registry.corp.example /v2/acme/web/manifests/1":        true,
		"sts.eu-west-1.amazonaws.com /":                         false,
		"api.anthropic.com /v1/messages":                        true,
		"api.anthropic.com /v1/organizations/api_keys":          false,
		"api.openai.com /v1/organization/admin_api_keys":        false,
	} {
		r := get("Authorization", "Bearer "+fake)
		r.Host, r.Path, _ = strings.Cut(place, " ")
		if _, err := b.Apply(r); (err == nil) != ok {
			t.Errorf("%s: %v", place, err)
		}
	}
}

func TestMintingTable(t *testing.T) {
	for _, m := range MintingTable() {
		if m.Source == "" || len(m.Paths) == 0 {
			t.Errorf("%+v", m)
		}
	}
}

func TestHeaderAndQueryEntries(t *testing.T) {
	s := github()
	s.Header = "x-special"
	b := broker(t, s)
	if out, err := b.Apply(get("X-Special", fake)); err != nil || out.Header.Get("X-Special") != real {
		t.Errorf("its header: %v", err)
	}
	if _, err := b.Apply(get("Authorization", "Bearer "+fake)); err == nil {
		t.Error("another header than its own")
	}
	s.Header = "Cookie"
	if out, err := broker(t, s).Apply(get("Cookie", "sid="+fake)); err != nil || out.Header.Get("Cookie") != "sid="+real {
		t.Errorf("its cookie: %v", err)
	}
	if _, err := broker(t, s).Apply(get("Cookie", "a=b; sid="+fake)); err == nil {
		t.Error("a second cookie beside it")
	}
	s.Header, s.Query = "", "key"
	b = broker(t, s)
	r := get()
	r.RawQuery = "a=b&key=" + fake + "&c"
	if out, err := b.Apply(r); err != nil || out.RawQuery != "a=b&key="+real+"&c" {
		t.Errorf("its parameter: %v %v", out.RawQuery, err)
	}
	for _, query := range []string{"a=" + fake, "key=" + fake + "&key=" + fake, "key=x" + fake, "key=theirs", "k%65y=" + fake, ""} {
		r.RawQuery = query
		if _, err := b.Apply(r); err == nil {
			t.Errorf("%q: not refused", query)
		}
	}
	if _, err := b.Apply(get("Authorization", "Bearer "+fake)); err == nil {
		t.Error("a header, for a secret of the query")
	}
}

func TestNewRefuses(t *testing.T) {
	for name, change := range map[string]func(*Secret){
		"no hosts":           func(s *Secret) { s.Hosts = nil },
		"every host":         func(s *Secret) { s.Hosts = []string{"*"} },
		"a top level":        func(s *Secret) { s.Hosts = []string{"*.com"} },
		"a URL":              func(s *Secret) { s.Hosts = []string{"https://api.github.com"} },
		"a path":             func(s *Secret) { s.Paths = []string{"repos"} },
		"dots":               func(s *Secret) { s.Paths = []string{"/a/../b"} },
		"a short value":      func(s *Secret) { s.Value = "hunter2" },
		"a long value":       func(s *Secret) { s.Value = strings.Repeat("x", 5000) },
		"a line break":       func(s *Secret) { s.Value = "hunter22\nX-Other: y" },
		"no placeholder":     func(s *Secret) { s.Placeholder = "" },
		"itself":             func(s *Secret) { s.Placeholder = s.Value },
		"two ways":           func(s *Secret) { s.Header, s.Query = "X-A", "a" },
		"framing":            func(s *Secret) { s.Header = "content-length" },
		"no key ID":          func(s *Secret) { s.SigV4 = true },
		"a parameter's name": func(s *Secret) { s.Query = "a&b" },
	} {
		s := github()
		change(&s)
		if _, err := New([]Secret{s}); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), s.Value) {
			t.Errorf("%s: %v", name, err)
		}
	}
	twin := github()
	twin.Name = "TWIN"
	if _, err := New([]Secret{github(), twin}); err == nil {
		t.Error("two secrets of one value were taken")
	}
}

func TestNothingPrints(t *testing.T) {
	s := github()
	if text := fmt.Sprintf("%v %+v %#v %s %v %#v", s, s, s, &s, s.Pair, s.Pair); strings.Contains(text, real) {
		t.Error(text)
	}
}

// Two headers may hold a secret, each as a whole, as Claude Code sends its key.
func TestTwoHeaders(t *testing.T) {
	out, err := broker(t, github()).Apply(get("Authorization", "Bearer "+fake, "X-Api-Key", fake))
	if err != nil || out.Header.Get("X-Api-Key") != real || out.Header.Get("Authorization") != "Bearer "+real || len(out.Used) != 1 {
		t.Errorf("%v %v", out.Used, err)
	}
	if _, err := broker(t, github()).Apply(get("Authorization", "Bearer "+fake, "X-Api-Key", fake+"x")); err == nil {
		t.Error("one of the two is not whole")
	}
}

// TestRenew: the placeholder stays, the value changes, and the former one is
// still taken out of answers.
func TestRenew(t *testing.T) {
	b := broker(t, github())
	fresh := "ghp_" + strings.Repeat("N3w", 12)
	if err := b.Renew("GITHUB_TOKEN", fresh); err != nil {
		t.Fatal(err)
	}
	out, err := b.Apply(get("Authorization", "Bearer "+fake))
	if err != nil || out.Header.Get("Authorization") != "Bearer "+fresh {
		t.Errorf("%v", err)
	}
	var body strings.Builder
	w := b.Answer(&body)
	_, _ = w.Write([]byte(real + " " + fresh))
	if err := w.Close(); err != nil || body.String() != fake+" "+fake {
		t.Errorf("%q %v", body.String(), err)
	}
	if b.Renew("NOBODY", fresh) == nil || b.Renew("GITHUB_TOKEN", "a\nb") == nil {
		t.Error("renewed what is not there, or with what no header can carry")
	}
	if out, err := b.Apply(get("Authorization", "Bearer "+fake)); err != nil || out.Header.Get("Authorization") != "Bearer "+fresh {
		t.Errorf("a failed renewal changed something: %v", err)
	}
}

func TestParseLogin(t *testing.T) {
	text := `{"claudeAiOauth": {"accessToken": "a-token-1", "refreshToken": "r-token-1", "expiresAt": 1790000000000, "scopes": ["x"]}}`
	l, ok := ParseLogin(text)
	if !ok || l.Value != "a-token-1" || l.Refresh != "r-token-1" || l.Expires.UnixMilli() != 1790000000000 {
		t.Errorf("%v", l)
	}
	again, ok := ParseLogin(l.Text())
	if !ok || again.Value != l.Value || again.Refresh != l.Refresh || !again.Expires.Equal(l.Expires) {
		t.Errorf("written and read: %v", again)
	}
	for _, other := range []string{"", "sk-ant-oat01-x", "{}", "[]", `{"claudeAiOauth": {"accessToken": "a"}}`} {
		if _, ok := ParseLogin(other); ok {
			t.Errorf("%q is taken for a login", other)
		}
	}
	if strings.Contains(fmt.Sprintf("%v %+v %#v", l, l, Secret{Renewal: &Renewal{Token: "r-token-1"}}), "token-1") {
		t.Error("a login prints itself")
	}
}
