package reference

import (
	"strings"
	"testing"
)

const sum = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

func TestNames(t *testing.T) {
	for _, c := range []struct{ name, full, familiar string }{
		{"alpine", "docker.io/library/alpine", "alpine"},
		{"alpine:3", "docker.io/library/alpine:3", "alpine:3"},
		{"alpine@" + sum, "docker.io/library/alpine@" + sum, "alpine@" + sum},
		{"claude-bottle:latest", "docker.io/library/claude-bottle:latest", "claude-bottle:latest"},
		{"docker.io/alpine", "docker.io/library/alpine", "alpine"},
		{"corp/agent:7", "docker.io/corp/agent:7", "corp/agent:7"},
		{"localhost/agent", "localhost/agent", "localhost/agent"},
		{"images.example.com:5000/corp/agent:7@" + sum, "images.example.com:5000/corp/agent:7@" + sum, "images.example.com:5000/corp/agent:7@" + sum},
	} {
		ref, err := ParseNormalizedNamed(c.name)
		if err != nil || ref.String() != c.full || FamiliarString(ref) != c.familiar {
			t.Errorf("%s is %v (%v), want %s and %s", c.name, ref, err, c.full, c.familiar)
		}
	}
	for _, name := range []string{
		"", ":", "Alpine", "a//b", "/a", "a/", "a:", "a:b c", "a:-b", "a?x=1", "a&b", "a b", "a%2fb", "a@", "a@sha256:1",
		"a\nb", "ä", strings.Repeat("a", 300), "a:" + strings.Repeat("b", 129), "exa_mple.com:1/a",
	} {
		if ref, err := ParseNormalizedNamed(name); err == nil {
			t.Errorf("%q is %v", name, ref)
		}
	}
}

func TestKinds(t *testing.T) {
	bare, _ := ParseNormalizedNamed("a")
	if _, ok := bare.(Tagged); ok {
		t.Error("a bare name has a tag")
	}
	if tag, ok := TagNameOnly(bare).(Tagged); !ok || tag.Tag() != "latest" {
		t.Errorf("its default tag is %v", tag)
	}
	named, _ := ParseNormalizedNamed("a:b")
	if tag, ok := TagNameOnly(named).(Tagged); !ok || tag.Tag() != "b" {
		t.Errorf("a tag became %v", tag)
	}
	full, _ := ParseNormalizedNamed("a:b@" + sum)
	if d, ok := full.(Digested); !ok || d.Digest().String() != sum {
		t.Errorf("its digest is %v", d)
	}
	if _, ok := TagNameOnly(full).(Tagged); ok {
		t.Error("a name with a digest was given a tag")
	}
	id, err := ParseAnyReference(strings.TrimPrefix(sum, "sha256:"))
	if err != nil || id.String() != sum {
		t.Errorf("an id is %v, %v", id, err)
	}
}
