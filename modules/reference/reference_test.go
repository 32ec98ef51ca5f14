package reference

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

var (
	digits64 = strings.Repeat("0123456789abcdef", 4)
	sum      = "sha256:" + digits64
)

// TestNames: what people write, and what it means in full; empty is refused.
func TestNames(t *testing.T) {
	for text, want := range map[string]string{
		"alpine":                        "docker.io/library/alpine",
		"alpine:3":                      "docker.io/library/alpine:3",
		"acme/tool:v1.2-rc_3":           "docker.io/acme/tool:v1.2-rc_3",
		"index.docker.io/alpine":        "docker.io/library/alpine",
		"localhost/a/b__c":              "localhost/a/b__c",
		"registry.example.com:5000/a-b": "registry.example.com:5000/a-b",
		"Host/a":                        "Host/a",
		"[2001:db8::1]:5000/a":          "[2001:db8::1]:5000/a",
		"alpine@" + sum:                 "docker.io/library/alpine@" + sum,
		"alpine:3@" + sum:               "docker.io/library/alpine:3@" + sum,
		strings.Repeat("a", 247):        "docker.io/library/" + strings.Repeat("a", 247),

		"": "", ":": "", "a:": "", "a@": "", "/a": "", "a/": "", "a//b": "", "Alpine": "", "a b": "", "-a": "", "a-": "",
		"a___b": "", "a..b": "", "a._b": "", "a:.b": "", "a:" + strings.Repeat("t", 129): "", "é": "", "a@sha256:12": "",
		"a.b:x/c": "", "-x.y/a": "", "[::1%eth0]/a": "", "[::1/a": "", "a@" + sum + "0": "", digits64: "", "a\n": "",
		strings.Repeat("a", 248): "", "a@" + strings.ToUpper(sum): "",
	} {
		ref, err := ParseNormalizedNamed(text)
		if (err == nil) != (want != "") || err == nil && ref.String() != want {
			t.Errorf("%q is %v, %v, want %q", text, ref, err, want)
		}
	}
}

func TestForms(t *testing.T) {
	for text, c := range map[string]struct {
		tagged, digested bool
		tagOnly, shown   string
	}{
		"alpine":          {false, false, "docker.io/library/alpine:latest", "alpine"},
		"acme/tool:1":     {true, false, "docker.io/acme/tool:1", "acme/tool:1"},
		"x.example/a":     {false, false, "x.example/a:latest", "x.example/a"},
		"a@" + sum:        {false, true, "docker.io/library/a@" + sum, "a@" + sum},
		"a:1@" + sum:      {true, true, "docker.io/library/a:1@" + sum, "a:1@" + sum},
		"library/a/b:tag": {true, false, "docker.io/library/a/b:tag", "library/a/b:tag"},
	} {
		ref, err := ParseNormalizedNamed(text)
		if err != nil {
			t.Fatal(err)
		}
		_, tagged := ref.(Tagged)
		_, digested := ref.(Digested)
		if tagged != c.tagged || digested != c.digested {
			t.Errorf("%q: tagged %t, digested %t", text, tagged, digested)
		}
		if got := TagNameOnly(ref).String(); got != c.tagOnly {
			t.Errorf("%q with a tag is %q", text, got)
		}
		if got := FamiliarString(ref); got != c.shown {
			t.Errorf("%q is shown as %q", text, got)
		}
		if exact, err := WithDigest(ref, digest.Digest(sum)); err != nil || exact.Digest() != digest.Digest(sum) || exact.Name() != ref.Name() {
			t.Errorf("%q with a digest is %v, %v", text, exact, err)
		}
	}
}

func TestAny(t *testing.T) {
	for text, want := range map[string]string{digits64: sum, sum: sum, "a": "docker.io/library/a", "A": ""} {
		ref, err := ParseAnyReference(text)
		if (err == nil) != (want != "") || err == nil && ref.String() != want {
			t.Errorf("%q is %v, %v, want %q", text, ref, err, want)
		}
	}
}
