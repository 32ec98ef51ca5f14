package gateway

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// versions are all that client and origin may speak to the gateway.
var versions = []string{protoHTTP1, protoHTTP2}

// eachPair runs a test for each version of the client and each of the origin.
func eachPair(t *testing.T, test func(t *testing.T, client, origin string)) {
	for _, client := range versions {
		for _, origin := range versions {
			t.Run(strings.ReplaceAll(client+" to "+origin, "/", ""), func(t *testing.T) { test(t, client, origin) })
		}
	}
}

// originOf makes the origin speak version; HTTP/2 ones speak both.
func originOf(version string) []string {
	if version == protoHTTP2 {
		return nil
	}
	return []string{protoHTTP1}
}

// What is allowed arrives as it was sent, by every way in, with one line a
// request beside the tunnel's.
func TestInspected(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Proto", r.Proto)
			w.Header().Set("X-Names", fmt.Sprint(len(r.Header)))
			fmt.Fprintf(w, "%s %s %s %s %q", r.Method, r.Host, r.RequestURI, r.UserAgent(), body)
		}, originOf(origin)...)
		for way, c := range map[string]*http.Client{"proxy": f.speak(client), "sni": f.bySNI(client)} {
			for _, target := range []string{"/x?q=1", "/a%2Fb//c;d?", "//twice", "/"} {
				got := fetch(t, c, "POST", "https://a.example"+target, strings.NewReader("sent"), func(r *http.Request) {
					r.Header.Set("User-Agent", "me")
					r.URL.Opaque = ""
				})
				if want := fmt.Sprintf(`POST a.example %s me "sent"`, target); got.body != want {
					t.Errorf("%s: %q, want %q", way, got.body, want)
				}
				wantProto := "HTTP/1.1"
				if origin == protoHTTP2 && client == protoHTTP2 {
					wantProto = "HTTP/2.0"
				}
				if got.Header.Get("X-Proto") != wantProto {
					t.Errorf("%s: the origin was spoken to in %s", way, got.Header.Get("X-Proto"))
				}
			}
			c.CloseIdleConnections()
		}
		f.eventually("the proxy tunnel's end", func(e audit.Event) bool {
			return e.Kind == policy.Connect && e.Phase == audit.Close && e.Decision == audit.Allowed && e.Sent == 0
		})
		f.eventually("the plain tunnel's end", func(e audit.Event) bool { return e.Kind == policy.TLS && e.Phase == audit.Close })
		events := f.events()
		opened := slices.IndexFunc(events, func(e audit.Event) bool { return e.Kind == policy.HTTPS && e.Phase == audit.Open })
		closed := slices.IndexFunc(events, func(e audit.Event) bool { return e.Kind == policy.HTTPS && e.Phase == audit.Close })
		if opened < 0 || closed < opened {
			t.Fatalf("%+v", events)
		}
		e := events[closed]
		if e.Host != "a.example" || e.Port != 443 || e.Method != "POST" || e.Path != "/x" || e.Sent < 4 || e.Received < 20 || !strings.HasPrefix(e.Address, "93.184.216.") {
			t.Errorf("%+v", e)
		}
	})
}

// A refusal inside TLS reads as one outside, in text and in JSON, and the
// connection goes on.
func TestInspectedRefusals(t *testing.T) {
	for _, version := range versions {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example", "gone.example", "down.example"))
		f.serve(w, "a.example", echo)
		w.names["down.example"] = append(w.names["down.example"], addr("93.184.216.99"))
		client := f.speak(version)
		got := fetch(t, client, "GET", "https://a.example/", nil, func(r *http.Request) { r.Host = "b.example" })
		if got.StatusCode != http.StatusMisdirectedRequest || got.Header.Get("X-Claude-Bottle") != "refused" ||
			!strings.Contains(got.body, "the request is for another name than its TLS connection") {
			t.Errorf("%s: another name: %d %q", version, got.StatusCode, got.body)
		}
		got = fetch(t, client, "GET", "https://a.example/", nil, func(r *http.Request) {
			r.Host = "b.example"
			r.Header.Set("Accept", "text/html, application/json")
		})
		if !strings.Contains(got.body, `"host":"b.example"`) || got.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: as JSON: %v %q", version, got.Header, got.body)
		}
		if got := fetch(t, client, "GET", "https://a.example/", nil); got.StatusCode != http.StatusOK {
			t.Errorf("%s: afterwards: %d", version, got.StatusCode)
		}
		if got := fetch(t, client, "POST", "https://down.example/", strings.NewReader("x")); got.StatusCode != http.StatusBadGateway ||
			got.Header.Get("X-Claude-Bottle") != "failed" || !strings.Contains(got.body, "connection refused") {
			t.Errorf("%s: upstream is down: %d %q", version, got.StatusCode, got.body)
		}
		if got := fetch(t, client, "HEAD", "https://down.example/", nil); got.StatusCode != http.StatusBadGateway || got.body != "" {
			t.Errorf("%s: HEAD: %d %q", version, got.StatusCode, got.body)
		}
		if _, err := client.Get("https://c.example/"); err == nil { //nolint:noctx,bodyclose // the proxy refuses it
			t.Errorf("%s: a name that is not allowed", version)
		}
		f.eventually("the refusal's record", func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Decision == audit.Denied && e.Host == "b.example" && e.Method == "GET"
		})
		f.eventually("the failure's record", func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Decision == audit.Failed && e.Host == "down.example" && e.Phase == audit.Close
		})
	}
}

// A gateway without an authority carries nothing that it must see into.
func TestInspectWithoutAuthority(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.inspector = nil })
	f.serve(w, "a.example", echo)
	if _, err := f.speak(protoHTTP1).Get("https://a.example/"); err == nil { //nolint:noctx,bodyclose // there is no answer
		t.Error("carried unseen")
	}
	if got := w.dials(); len(got) != 0 {
		t.Errorf("dialled %v", got)
	}
	f.eventually("the refusal", func(e audit.Event) bool { return e.Kind == policy.Connect && e.Rule == ruleInspect })
}

// What a program that does not trust the run's authority did is in the record.
func TestInspectedClientDistrusts(t *testing.T) {
	for _, version := range versions {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		f.serve(w, "a.example", echo)
		f.roots = f.notary.pool()
		if _, err := f.speak(version).Get("https://a.example/"); err == nil { //nolint:noctx,bodyclose // there is no answer
			t.Fatal("the origin's own certificate came through")
		}
		e := f.eventually("the end", func(e audit.Event) bool { return e.Kind == policy.Connect && e.Phase == audit.Close })
		if e.Rule != ruleInspect || !strings.Contains(e.Reason, "certificate") {
			t.Errorf("%s: %+v", version, e)
		}
		if got := w.dials(); len(got) != 0 {
			t.Errorf("%s: dialled %v", version, got)
		}
	}
}

// Each request inside TLS is decided by its method and path, the tenth on a
// connection like the first, and only where a rule has some.
func TestInspectedRules(t *testing.T) {
	for _, version := range versions {
		w := newWorld()
		e := allow("plain.example")
		e.Rules = []policy.Rule{
			{Host: "a.example", Methods: []string{"GET"}, Paths: []string{"/v1/**"}, Source: "test"},
			{Host: "a.example", Paths: []string{"/v1/secret/**"}, Deny: true, Source: "test"},
		}
		f := inspectWorld(t, w, e)
		f.serve(w, "a.example", echo)
		f.serve(w, "plain.example", echo)
		f.roots.AddCert(f.notary.cert) // what is spliced shows the origin's own
		client := f.speak(version)
		for range 2 {
			for _, tt := range []struct {
				method, path string
				code         int
			}{
				{"GET", "/v1/x", 200},
				{"HEAD", "/v1/x?q=/v2", 200},
				{"POST", "/v1/x", 403},
				{"GET", "/v2/x", 403},
				{"GET", "/v1/secret/x", 403},
				{"GET", "/v1/../v2/x", 403},
				{"GET", "/v1/%2e%2e/v2/x", 403},
				{"GET", "/v1/a%2Fb", 403},
			} {
				got := fetch(t, client, tt.method, "https://a.example"+tt.path, nil)
				if got.StatusCode != tt.code {
					t.Errorf("%s, %s %s: %d %q", version, tt.method, tt.path, got.StatusCode, got.body)
				}
			}
		}
		if got := fetch(t, client, "GET", "https://plain.example/v2", nil); got.StatusCode != http.StatusOK || got.TLS.PeerCertificates[0].Issuer.CommonName != "the world's authority" {
			t.Errorf("%s: what needs no look inside: %d, by %s", version, got.StatusCode, got.TLS.PeerCertificates[0].Issuer)
		}
		f.eventually("a refusal's line", func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Decision == audit.Denied && e.Method == "POST" && e.Path == "/v1/x"
		})
	}
}

// A tunnel that was carried unseen ends when a rule needs to see inside.
func TestInspectFromNowOn(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, allow("a.example"))
	f.serve(w, "a.example", echo)
	f.roots.AddCert(f.notary.cert)
	client := f.speak(protoHTTP1)
	fetch(t, client, "GET", "https://a.example/x", nil)
	cut, err := f.server.allow(wire.Allow{Rule: policy.Rule{Host: "a.example", Paths: []string{"/x/**"}, Deny: true}, Who: "jane"})
	if err != nil || cut != 1 {
		t.Fatalf("%d were cut, %v", cut, err)
	}
	if got := fetch(t, client, "GET", "https://a.example/x/y", nil); got.StatusCode != http.StatusForbidden {
		t.Errorf("afterwards: %d %q", got.StatusCode, got.body)
	}
	if got := fetch(t, client, "GET", "https://a.example/y", nil); got.StatusCode != http.StatusOK {
		t.Errorf("what is still allowed: %d %q", got.StatusCode, got.body)
	}
}
