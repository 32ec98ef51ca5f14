package gateway

import (
	"compress/gzip"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/broker"
	"claude-bottle/internal/ca"
	"claude-bottle/internal/policy"
)

// A request that carries the placeholder arrives with the secret, by every
// version of HTTP; the record says which secret, and never its value.
func TestBrokered(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}, Paths: []string{"/repos/acme/**"}})
		f := brokerWorld(t, w, allow("other.example"), s)
		f.serve(w, "api.example", checks(s.Value), originOf(origin)...)
		c := f.speak(client)
		got := fetch(t, c, "POST", "https://api.example/repos/acme/x", strings.NewReader("sent"), bearer(s.Placeholder))
		if got.StatusCode != http.StatusOK || got.body != "POST /repos/acme/x, welcome" {
			t.Errorf("%d %q", got.StatusCode, got.body)
		}
		f.eventually("the secret's name", func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Phase == audit.Close && e.Secrets == "TOKEN" && e.Path == "/repos/acme/x"
		})
	})
}

// What is refused is recorded by the secret's name, told to the agent in words
// that it can act on, and dialled nowhere.
func TestBrokeredRefusals(t *testing.T) {
	for _, version := range versions {
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}, Paths: []string{"/repos/acme/**"}})
		f := brokerWorld(t, w, everything("other.example"), s)
		f.serve(w, "api.example", checks(s.Value))
		f.serve(w, "other.example", echo)
		c := f.speak(version)
		for what, test := range map[string]struct {
			url, reason, rule string
			change            func(*http.Request)
		}{
			"another path":       {"https://api.example/repos/evil/x", "it is not for this path", "secret TOKEN", bearer(s.Placeholder)},
			"another host":       {"https://other.example/", "its placeholder is not for other.example", "secret TOKEN", bearer(s.Placeholder)},
			"a URL":              {"https://api.example/repos/acme/x?q=" + s.Placeholder, "never replaced", "secret TOKEN", bearer("x")},
			"a path":             {"https://other.example/" + s.Placeholder, "not for other.example", "secret TOKEN", func(*http.Request) {}},
			"without TLS":        {"http://other.example/", "not for other.example", "secret TOKEN", bearer(s.Placeholder)},
			"another credential": {"https://api.example/repos/acme/x", "a credential of another account", broker.RuleCredentials, bearer("ghp_0123456789012345678901234567890123AB")},
			"none":               {"https://api.example/repos/acme/x", "must carry it", "secret TOKEN", func(*http.Request) {}},
			"a cookie beside it": {"https://api.example/repos/acme/x", "header Cookie", broker.RuleCredentials, func(r *http.Request) {
				bearer(s.Placeholder)(r)
				r.Header.Set("Cookie", "session=1")
			}},
			"TRACE": {"https://api.example/repos/acme/x", "TRACE", broker.RuleCredentials, func(r *http.Request) {
				bearer(s.Placeholder)(r)
				r.Method = "TRACE"
			}},
		} {
			got := fetch(t, c, "GET", test.url, nil, test.change)
			status := http.StatusForbidden
			if what == "none" { // who waits to be asked is asked
				status = http.StatusUnauthorized
			}
			if got.StatusCode != status || (got.Header.Get("WWW-Authenticate") != "") != (what == "none") || !strings.Contains(got.body, test.reason) || !strings.Contains(got.body, "rule: "+test.rule+"\n") {
				t.Errorf("%s, %s: %d %q", version, what, got.StatusCode, got.body)
			}
			f.eventually(what, func(e audit.Event) bool {
				return e.Decision == audit.Denied && e.Rule == test.rule && strings.Contains(e.Reason, test.reason)
			})
		}
		if got := w.dials(); len(got) != 0 {
			t.Errorf("%s: dialled %v", version, got)
		}
	}
}

// An answer that holds the secret comes with the placeholder, wherever in it
// that is, and however it is cut or coded; one that cannot be searched does not
// come.
func TestBrokeredEchoes(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
		f := brokerWorld(t, w, policy.Egress{}, s)
		long := strings.Repeat("x", 40000)
		f.serve(w, "api.example", func(w http.ResponseWriter, r *http.Request) {
			token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
			switch r.URL.Path {
			case "/headers":
				w.Header().Set("X-Token", token)
				w.Header().Set("Location", "https://elsewhere.example/?t="+token)
				w.WriteHeader(http.StatusFound)
			case "/error":
				http.Error(w, "bad token "+token, http.StatusInternalServerError)
			case "/chunked":
				for _, b := range []byte(long + token + long) {
					if _, err := w.Write([]byte{b}); err != nil {
						return
					}
					if b != 'x' {
						w.(http.Flusher).Flush()
					}
				}
			case "/gzip":
				w.Header().Set("Content-Encoding", "gzip")
				z := gzip.NewWriter(w)
				_, _ = io.WriteString(z, long+token)
				_ = z.Close()
			case "/br":
				w.Header().Set("Content-Encoding", "br")
				_, _ = io.WriteString(w, token)
			case "/trailer":
				w.Header().Set("Trailer", "X-Token")
				_, _ = io.WriteString(w, "body")
				w.(http.Flusher).Flush()
				w.Header().Set("X-Token", token)
			case "/early":
				w.Header().Set("Link", "</"+token+">")
				w.WriteHeader(http.StatusEarlyHints)
				fmt.Fprint(w, r.Header.Get("Accept-Encoding"))
			default:
				http.ServeContent(w, r, "", audit.Event{}.Time, strings.NewReader(long+token+long))
			}
		}, originOf(origin)...)
		c := f.speak(client)
		for path, want := range map[string]string{
			"/headers": "", "/error": "bad token " + s.Placeholder + "\n", "/chunked": long + s.Placeholder + long,
			"/gzip": long + s.Placeholder, "/trailer": "body", "/early": "identity", "/whole": long + s.Placeholder + long,
		} {
			got := fetch(t, c, "GET", "https://api.example"+path, nil, bearer(s.Placeholder), func(r *http.Request) {
				r.Header.Set("Accept-Encoding", "gzip, br")
				r.Header.Set("Range", "bytes=40000-40015")
			})
			if got.body != want {
				t.Errorf("%s: %d, %d bytes: %.80q", path, got.StatusCode, len(got.body), strings.ReplaceAll(got.body, "x", ""))
			}
			if text := fmt.Sprint(got.Header, got.Trailer, got.Status); strings.Contains(text, s.Value) || strings.Contains(text, "gzip") {
				t.Errorf("%s: the head holds the secret, or a coding that is gone: %s", path, text)
			}
		}
		got := fetch(t, c, "GET", "https://api.example/headers", nil, bearer(s.Placeholder))
		if got.Header.Get("Location") != "https://elsewhere.example/?t="+s.Placeholder || got.Header.Get("X-Token") != s.Placeholder {
			t.Errorf("%v", got.Header)
		}
		if got := fetch(t, c, "GET", "https://api.example/br", nil, bearer(s.Placeholder)); got.StatusCode != http.StatusBadGateway ||
			!strings.Contains(got.body, "cannot be searched") {
			t.Errorf("brotli: %d %q", got.StatusCode, got.body)
		}
	})
}

// Certificates of a project's are trusted for the hosts of no secret, and for
// others as before.
func TestProjectRootsVouchForNoSecret(t *testing.T) {
	for _, project := range []bool{false, true} {
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
		theirs := newNotary(t)
		e := everything("api.example", "other.example")
		e.Secrets, e.Roots, e.ProjectRoots = []policy.Secret{s.Entry}, theirs.pem(), project
		pair, err := ca.New("run1", time.Now())
		if err != nil {
			t.Fatal(err)
		}
		f := brokerWorld(t, w, everything("other.example"), s)
		if f.server.inspector, err = newInspector(pair, trustOf(e, f.notary.pem()), 16); err != nil {
			t.Fatal(err)
		}
		f.roots.AppendCertsFromPEM([]byte(pair.Certificate))
		for _, host := range []string{"api.example", "other.example"} {
			w.host(host, 443, secureOrigin(t, theirs.sign(host), ok))
			got := fetch(t, f.speak(protoHTTP1), "GET", "https://"+host+"/", nil, func(r *http.Request) {
				if host == "api.example" {
					bearer(s.Placeholder)(r)
				}
			})
			refused := project && host == "api.example"
			if refused != (got.StatusCode == http.StatusBadGateway) || refused != strings.Contains(got.body, "signed by nobody who is trusted here") {
				t.Errorf("%s, a project's roots %v: %d %q", host, project, got.StatusCode, got.body)
			}
		}
	}
}

// In a WebSocket to a secret's host what the server says is searched like an
// answer, and nothing is compressed that could hide it.
func TestBrokeredWebSocket(t *testing.T) {
	w := newWorld()
	s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
	f := brokerWorld(t, w, policy.Egress{}, s)
	f.serve(w, "api.example", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		_ = conn.Write(r.Context(), websocket.MessageText, []byte(`{"you": "`+token+`", "extensions": "`+r.Header.Get("Sec-WebSocket-Extensions")+`"}`))
		_, text, err := conn.Read(r.Context())
		if err == nil {
			_ = conn.Write(r.Context(), websocket.MessageText, text)
		}
	}, protoHTTP1)
	header := http.Header{"Authorization": {"Bearer " + s.Placeholder}}
	conn, _, err := websocket.Dial(t.Context(), "wss://api.example/", &websocket.DialOptions{ //nolint:bodyclose // it is the connection
		HTTPClient: f.speak(protoHTTP1), HTTPHeader: header, CompressionMode: websocket.CompressionContextTakeover,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.CloseNow() }()
	_, got, err := conn.Read(t.Context())
	if want := `{"you": "` + s.Placeholder + `", "extensions": ""}`; err != nil || string(got) != want {
		t.Errorf("%q, %v", got, err)
	}
	if err := conn.Write(t.Context(), websocket.MessageText, []byte("said and heard!")); err != nil {
		t.Fatal(err)
	}
	if _, got, err = conn.Read(t.Context()); err != nil || string(got) != "said and heard!" {
		t.Errorf("%q, %v", got, err)
	}
}

// What comes from a secret's host comes as it comes: bytes that only might
// begin a secret are not kept from who waits for them.
func TestBrokeredAnswersFlow(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		t.Parallel() // each waits for the moments in which bytes are held back
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
		f := brokerWorld(t, w, policy.Egress{}, s)
		more := make(chan struct{})
		f.serve(w, "api.example", func(w http.ResponseWriter, _ *http.Request) {
			for _, text := range []string{"the first ends with " + s.Value[:1], "and another\n", s.Value[:3], "the end"} {
				_, _ = io.WriteString(w, text)
				w.(http.Flusher).Flush()
				<-more
			}
		}, originOf(origin)...)
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://api.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		bearer(s.Placeholder)(r)
		answer, err := f.speak(client).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		for _, want := range []string{"the first ends with " + s.Value[:1], "and another\n", s.Value[:3], "the end"} {
			got := make([]byte, len(want))
			if _, err := io.ReadFull(answer.Body, got); err != nil || string(got) != want {
				t.Fatalf("%q, %v", got, err)
			}
			more <- struct{}{}
		}
	})
}

// A placeholder has the form of a credential, and is none of somebody else's:
// where those are refused, the secret is used all the same.
func TestPlaceholdersAreNobodysCredential(t *testing.T) {
	for _, mode := range []string{policy.ScanBlock, policy.ScanRedact} {
		w := newWorld()
		s := broker.Secret{Entry: policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}}, Pair: pairOf(t, "glpat-"+rand.Text()[:20])}
		f := brokerWorldWith(t, w, scanned(mode, "other.example"), []option{func(srv *server) { srv.watchFor(nil, srv.broker) }}, s)
		f.serve(w, "api.example", checks(s.Value))
		f.serve(w, "other.example", echo)
		c := f.speak(protoHTTP1)
		if got := fetch(t, c, "GET", "https://api.example/", nil, bearer(s.Placeholder)); got.StatusCode != http.StatusOK {
			t.Errorf("%s: %d %q", mode, got.StatusCode, got.body)
		}
		if got := fetch(t, c, "POST", "https://other.example/", strings.NewReader(s.Placeholder)); got.StatusCode == http.StatusOK && strings.Contains(got.body, s.Placeholder) {
			t.Errorf("%s: another host got the placeholder: %q", mode, got.body)
		}
	}
}
