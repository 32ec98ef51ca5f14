package broker

import (
	"fmt"
	"testing"
)

// A second credential, in each place that servers take one, and none.
func TestPinning(t *testing.T) {
	one := get("Authorization", "Bearer "+fake)
	changes := map[string]func(*Request){
		"another header":         func(r *Request) { r.Header.Set("X-Api-Key", "theirs") },
		"a token header":         func(r *Request) { r.Header.Set("Private-Token", "theirs") },
		"Artifactory's key":      func(r *Request) { r.Header.Set("X-JFrog-Art-Api", "theirs") },
		"Honeycomb's key":        func(r *Request) { r.Header.Set("X-Honeycomb-Team", "theirs") },
		"a JWT":                  func(r *Request) { r.Header.Set("X-Jwt-Assertion", "theirs") },
		"Azure's key":            func(r *Request) { r.RawQuery = "Subscription-Key=theirs" },
		"a cookie":               func(r *Request) { r.Header.Set("Cookie", "session=theirs") },
		"userinfo":               func(r *Request) { r.Userinfo = true },
		"a parameter":            func(r *Request) { r.RawQuery = "a=b&access_token=theirs" },
		"encoded parameter":      func(r *Request) { r.RawQuery = "access%5Ftoken=theirs" },
		"after a semicolon":      func(r *Request) { r.RawQuery = "a=b;key=theirs" },
		"a signature of Azure's": func(r *Request) { r.RawQuery = "sv=2024-11-04&SAS=theirs" },
		"a ticket":               func(r *Request) { r.RawQuery = "ticket=ST-1-theirs" },
		"a presigned URL":        func(r *Request) { r.RawQuery = "X-Amz-Credential=x&X-Amz-Signature=theirs" },
		"a subprotocol": func(r *Request) {
			r.Header.Set("Sec-Websocket-Protocol", "base64url.bearer.authorization.k8s.io.dGhlaXJz")
		},
		"another authority": func(r *Request) { r.Header.Set("Authorization", "Bearer theirs") },
		"none":              func(r *Request) { r.Header.Del("Authorization") },
	}
	b := broker(t, github())
	for name, change := range changes {
		r := one
		r.Header = one.Header.Clone()
		change(&r)
		if _, err := b.Apply(r); err == nil {
			t.Errorf("%s: not refused", name)
		}
	}
	own := github()
	own.OwnCredentials = true
	for name, change := range changes {
		r := one
		r.Header = one.Header.Clone()
		change(&r)
		if _, err := broker(t, own).Apply(r); (err == nil) != (name != "none") {
			t.Errorf("%s, with own_credentials: %v", name, err)
		}
	}
	r := get("Authorization", "Bearer "+fake)
	r.Header.Add("Authorization", "Bearer theirs")
	if _, err := broker(t, own).Apply(r); err == nil {
		t.Error("one header held two credentials")
	}
	anonymous := github()
	anonymous.Anonymous = true
	if _, err := broker(t, anonymous).Apply(get()); err != nil {
		t.Errorf("anonymous: %v", err)
	}
	if _, err := broker(t, anonymous).Apply(get("X-Api-Key", "theirs")); err == nil {
		t.Error("anonymous lets another credential through")
	}
	for _, ordinary := range [][2]string{{"Idempotency-Key", "x"}, {"Sec-Websocket-Key", "x"}, {"Accept", "x"}} {
		r := get("Authorization", "Bearer "+fake, ordinary[0], ordinary[1])
		r.RawQuery = "page_token=abc&per_page=3"
		if _, err := b.Apply(r); err != nil {
			t.Errorf("%s: %v", ordinary[0], err)
		}
	}
}

// Towards a host without a secret nothing changes.
func TestOtherHosts(t *testing.T) {
	b := broker(t, github())
	r := get("Authorization", "Bearer mine", "Accept-Encoding", "br", "Range", "bytes=1-2")
	r.Host, r.Path, r.Method = "example.org", "/a//b/../c", "TRACE"
	out, err := b.Apply(r)
	if err != nil || fmt.Sprint(out.Header) != fmt.Sprint(r.Header) || len(out.Used) > 0 {
		t.Errorf("%v %v", err, out)
	}
	if b.Concerns("example.org", 443) || !b.Concerns("api.github.com", 443) {
		t.Error("concerns")
	}
}

// HTTP/2 writes names in lower case, and an agent as it likes.
func TestNamesInAnyCase(t *testing.T) {
	b := broker(t, github())
	r := get()
	r.Header["aUTHORIZATION"] = []string{"Bearer " + fake}
	r.Header["range"] = []string{"bytes=0-7"}
	r.Header["accept-encoding"] = []string{"br"}
	out, err := b.Apply(r)
	if err != nil || out.Header.Get("Authorization") != "Bearer "+real || len(out.Header) != 2 || out.Header.Get("Accept-Encoding") != "identity" {
		t.Errorf("%v, %d fields", err, len(out.Header))
	}
	r.Header["authorization"] = []string{"Bearer theirs"}
	if _, err := b.Apply(r); err == nil {
		t.Error("a second spelling of the header was let through")
	}
}
