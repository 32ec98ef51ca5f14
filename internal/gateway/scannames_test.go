package gateway

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// Names are looked at by every way in, before anybody is asked for an address.
func TestNames(t *testing.T) {
	e := scanned("", "a.example", "*.wild.example")
	f := lookWorld(t, e)
	coded := hex.EncodeToString([]byte(readable))
	based := strings.ToLower(strings.TrimRight(base32.StdEncoding.EncodeToString([]byte(readable)), "="))
	for what, label := range map[string]string{
		"hex": coded, "hex in labels": coded[:20] + "." + coded[20:], "base32": based, "as it is": strings.ToLower(readable),
		"in short labels": strings.Join(pairs(coded), "."), "random": "a9f8k2m4x7q1z5w3c6v8b0", "random in labels": "a9f8k2m4x7.q1z5w3c6v8b0.d2f4g6h8j1k3.l5n7p9r2t4y6",
	} {
		name := label + ".wild.example"
		got := fetch(t, f.client(nil), "GET", "http://"+name+"/", nil)
		if got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "rule: scan") {
			t.Errorf("%s by HTTP: %d %s", what, got.StatusCode, got.body)
		}
		if got := say(t, f.proxy, "CONNECT "+name+":443 HTTP/1.1\r\nHost: "+name+":443\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 403 ") {
			t.Errorf("%s by CONNECT: %q", what, got)
		}
		if _, code := f.overSOCKS(socksTo(name, 443)); code != byte(socksNotAllowed) {
			t.Errorf("%s by SOCKS: %d", what, code)
		}
		conn := tls.Client(dial(t, f.tls), &tls.Config{ServerName: name, RootCAs: f.roots})
		if err := conn.HandshakeContext(t.Context()); err == nil {
			t.Errorf("%s by SNI: a handshake", what)
		}
		if m := f.ask(query(t, name+".", dnsmessage.TypeA)); m.RCode != dnsmessage.RCodeRefused {
			t.Errorf("%s by DNS: %v", what, m.RCode)
		}
	}
	if asked := f.w.asked; len(asked) != 0 {
		t.Errorf("names were looked up: %q", asked)
	}
	f.holdsNone(t, readable)
	for _, e := range f.events() {
		if strings.Contains(strings.ReplaceAll(e.Host, ".", ""), coded[:20]) {
			t.Errorf("the record holds it: %+v", e)
		}
	}
}

// What looks like encoded data is refused in the first query to a name that
// only a wildcard allows, and nowhere else.
func TestRandomQueries(t *testing.T) {
	const signed = "/f?X-Signature=3f9a1c7be02d4586a9b0c1d2e3f40516&Expires=1700000000"
	e := scanned("", "a.example", "*.wild.example", "c.wild.example")
	e.Rules = append(e.Rules, policy.Rule{Host: "*.loose.example", Scan: policy.ScanWarn})
	f := lookWorld(t, e)
	for _, name := range []string{"b.wild.example", "c.wild.example", "d.loose.example"} {
		f.host(name)
	}
	for _, version := range versions {
		client := f.speak(version)
		for _, test := range []struct {
			what, url string
			want      int
		}{
			{"an exact name", "https://a.example" + signed, 200},
			{"an exact name below a wildcard", "https://c.wild.example" + signed, 200},
			{"a name for the first time", "https://b.wild.example" + signed, map[string]int{protoHTTP1: 403, protoHTTP2: 200}[version]},
			{"with an ordinary query", "https://b.wild.example/search?q=how+to+write+a+test&page=2", 200},
			{"a name that is known", "https://b.wild.example" + signed, 200},
			{"where a rule warns", "https://d.loose.example" + signed, 200},
		} {
			if got := fetch(t, client, "GET", test.url, nil); got.StatusCode != test.want {
				t.Errorf("%s, %s: %d %s", version, test.what, got.StatusCode, got.body)
			}
		}
	}
	noted := 0
	for _, e := range f.events() {
		if e.Kind == audit.Found {
			noted++
		}
	}
	if noted != 1 {
		t.Errorf("%d warnings", noted)
	}
}

// Whatever is asked for and refused for other reasons is recorded without a
// secret.
func TestRecordHoldsNoSecret(t *testing.T) {
	e := scanned("", "a.example")
	e.Rules = append(e.Rules, policy.Rule{Host: "a.example", Methods: []string{"GET"}})
	f := lookWorld(t, e)
	half, rest := readable[:9], readable[9:]
	for _, target := range []string{"/" + readable, "/" + half + "/" + rest, "/x/" + hex.EncodeToString([]byte(readable))} {
		fetch(t, f.client(nil), "GET", "http://unknown.example"+target, nil)
		for _, version := range versions {
			fetch(t, f.speak(version), "DELETE", "https://a.example"+target, nil)
		}
	}
	fetch(t, f.client(nil), "GET", "http://"+hex.EncodeToString([]byte(readable))+".unknown.example/", nil)
	f.ask(query(t, hex.EncodeToString([]byte(readable))+".unknown.example.", dnsmessage.TypeA))
	say(t, f.http, "GET //"+readable+"/%2e%2e HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if n := len(f.events()); n < 10 {
		t.Errorf("%d lines", n)
	}
	f.holdsNone(t, readable)
	for _, e := range f.events() {
		if strings.Contains(e.Path, half) {
			t.Errorf("%+v", e)
		}
	}
}

// A decoy on its way out ends everything.
func TestDecoy(t *testing.T) {
	for _, where := range []string{"body", "large body", "chunked body", "query", "header"} {
		t.Run(where, func(t *testing.T) {
			e := scanned(policy.ScanWarn, "a.example", "b.example", "*.wild.example")
			e.Rules = append(e.Rules, policy.Rule{Host: "b.example", Inspect: policy.InspectNever})
			f := lookWorld(t, e)
			cert := f.notary.sign("b.example")
			f.w.host("b.example", 443, secureOrigin(t, cert, f.sink.ServeHTTP, protoHTTP1))
			tunnel := dial(t, f.proxy)
			_, _ = tunnel.Write([]byte("CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"))
			line := make([]byte, 12)
			if _, err := tunnel.Read(line); err != nil || string(line) != "HTTP/1.1 200" {
				t.Fatalf("%q %v", line, err)
			}
			if _, err := io.ReadFull(tunnel, make([]byte, len(" Connection established\r\n\r\n"))); err != nil {
				t.Fatal(err)
			}
			roots := x509.NewCertPool()
			roots.AddCert(f.notary.cert)
			spliced := tls.Client(tunnel, &tls.Config{ServerName: "b.example", RootCAs: roots})
			if err := spliced.HandshakeContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			by := f.ways["inspected"]
			fetch(t, by.client, "GET", by.base+"/", nil)
			f.sink.drain()
			r, err := carriers[where](by.base, hex.EncodeToString([]byte(decoy)))
			if err != nil {
				t.Fatal(err)
			}
			answer := whole(t)(by.client.Do(r)) //nolint:bodyclose // whole closes it
			if answer.StatusCode != http.StatusForbidden || !strings.Contains(answer.body, "rule: decoy") {
				t.Errorf("%d %s", answer.StatusCode, answer.body)
			}
			for way, by := range f.ways {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, by.base+"/", nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := by.client.Do(r)
				if err == nil {
					answer.Body.Close()
				}
				if err == nil && answer.StatusCode != http.StatusForbidden || err != nil && !strings.Contains(err.Error(), "Forbidden") {
					t.Errorf("%s, afterwards: %v %v", way, answer, err)
				}
			}
			if m := f.ask(query(t, "a.example.", dnsmessage.TypeA)); m.RCode != dnsmessage.RCodeRefused {
				t.Errorf("DNS, afterwards: %v", m.RCode)
			}
			if _, err := spliced.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the tunnel is there: %v", err)
			}
			if got := f.sink.drain(); got != "" {
				t.Errorf("%q arrived", got)
			}
			f.eventually("its line", func(e audit.Event) bool {
				return e.Rule == ruleDecoy && e.Decision == audit.Denied && strings.Contains(e.Reason, "the decoy DECOY in hex")
			})
			f.holdsNone(t, decoy)
		})
	}
}

// A gateway whose scanner cannot be built lets nothing leave.
func TestBlind(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"), func(s *server) {
		s.watch = newWatch(nil, policy.Scan{Allowed: []string{"no hash"}})
		s.watch.lookFor(nil, false)
		s.journal.scrub = s.watch.scrub
	})
	for way, by := range f.ways {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, by.base+"/", strings.NewReader("text"))
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := by.client.Do(r); err == nil {
			answer.Body.Close()
			if answer.StatusCode < 400 {
				t.Errorf("%s: %d", way, answer.StatusCode)
			}
		}
	}
	if got := f.sink.drain(); got != "" {
		t.Errorf("%q arrived", got)
	}
}
