// Package reference stands in for the module of this name, by which the engine's
// client reads names of images. That one compiles expressions in every process
// that has it, also where no engine is asked, which is a fifth of the time in
// which our command starts: here names are read by hand, by the grammar that the
// module documents:
//
//	reference  = name [":" tag] ["@" digest]
//	name       = [domain "/"] component *("/" component)
//	domain     = host [":" digits], host a name, an IPv4 address or [an IPv6 one]
//	component  = words of a-z and 0-9 with ".", "_", "__" or dashes between two
//	tag        = a word character, then up to 127 of those, dots and dashes
//	digest     = algorithm ":" at least 32 hexadecimal digits
//
// What the client does not call is left out.
package reference

import (
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Reference is what names an image.
type Reference interface{ String() string }

// Named has a name with its domain.
type Named interface {
	Reference
	Name() string
}

// Tagged has a tag.
type Tagged interface {
	Reference
	Tag() string
}

// Digested has a digest.
type Digested interface {
	Reference
	Digest() digest.Digest
}

// Canonical has a name and a digest.
type Canonical interface {
	Named
	Digest() digest.Digest
}

// Errors of names that are none.
var (
	ErrReferenceInvalidFormat = errors.New("invalid reference format")
	ErrNameContainsUppercase  = errors.New("repository name must be lowercase")
	ErrNameTooLong            = errors.New("repository name must not be more than 255 characters")
)

const (
	defaultDomain = "docker.io"
	oldDomain     = "index.docker.io" // the same, once
	official      = "library/"        // where images of the default domain are that have no path
	defaultTag    = "latest"
	longestName   = 255
	longestTag    = 128
)

// The four forms: a name, with a tag, with a digest, with both. Which methods a
// value has says what it holds.
type (
	named  struct{ name string }
	tagged struct {
		named
		tag string
	}
	digested struct {
		named
		digest digest.Digest
	}
	exact struct {
		tagged
		digest digest.Digest
	}
	bare struct{ digest digest.Digest }
)

func (n named) Name() string             { return n.name }
func (n named) String() string           { return n.name }
func (t tagged) Tag() string             { return t.tag }
func (t tagged) String() string          { return t.name + ":" + t.tag }
func (d digested) Digest() digest.Digest { return d.digest }
func (d digested) String() string        { return d.name + "@" + string(d.digest) }
func (e exact) Digest() digest.Digest    { return e.digest }
func (e exact) String() string           { return e.tagged.String() + "@" + string(e.digest) }
func (b bare) Digest() digest.Digest     { return b.digest }
func (b bare) String() string            { return string(b.digest) }

// ParseNormalizedNamed reads a name as people write it: without a domain it is
// the default one's.
func ParseNormalizedNamed(s string) (Named, error) {
	if len(s) == 64 && isHex(s) {
		return nil, errors.New("invalid repository name (" + s + "), cannot specify 64-byte hexadecimal strings")
	}
	rest, sum, hasSum := strings.Cut(s, "@")
	if hasSum && !isDigest(sum) {
		return nil, ErrReferenceInvalidFormat
	}
	domain, rest := splitDomain(rest)
	path, tag, hasTag := strings.Cut(rest, ":")
	switch {
	case strings.ToLower(path) != path:
		return nil, ErrNameContainsUppercase
	case !isDomain(domain), !isPath(path), hasTag && !isTag(tag):
		return nil, ErrReferenceInvalidFormat
	case len(path) > longestName:
		return nil, ErrNameTooLong
	case hasSum && digest.Digest(sum).Validate() != nil:
		return nil, digest.Digest(sum).Validate()
	}
	name := named{domain + "/" + path}
	switch {
	case hasTag && hasSum:
		return exact{tagged{name, tag}, digest.Digest(sum)}, nil
	case hasTag:
		return tagged{name, tag}, nil
	case hasSum:
		return digested{name, digest.Digest(sum)}, nil
	}
	return name, nil
}

// ParseAnyReference reads a name, or the digest or identifier of an image.
func ParseAnyReference(s string) (Reference, error) {
	if len(s) == 64 && isHex(s) {
		return bare{digest.Digest("sha256:" + s)}, nil
	}
	if d := digest.Digest(s); d.Validate() == nil {
		return bare{d}, nil
	}
	return ParseNormalizedNamed(s)
}

// splitDomain takes the first part for a domain when it looks like one.
func splitDomain(s string) (domain, rest string) {
	first, behind, more := strings.Cut(s, "/")
	if !more || first != "localhost" && !strings.ContainsAny(first, ".:") && strings.ToLower(first) == first {
		domain, rest = defaultDomain, s
	} else {
		domain, rest = first, behind
	}
	if domain == oldDomain {
		domain = defaultDomain
	}
	if domain == defaultDomain && !strings.Contains(rest, "/") {
		rest = official + rest
	}
	return domain, rest
}

// TagNameOnly gives a name that has nothing else the default tag.
func TagNameOnly(ref Named) Named {
	if name, ok := ref.(named); ok {
		return tagged{name, defaultTag}
	}
	return ref
}

// WithDigest adds a digest to a name, which keeps its tag.
func WithDigest(name Named, d digest.Digest) (Canonical, error) {
	if !isDigest(string(d)) {
		return nil, errors.New("invalid digest format")
	}
	if t, ok := name.(Tagged); ok {
		return exact{tagged{named{name.Name()}, t.Tag()}, d}, nil
	}
	return digested{named{name.Name()}, d}, nil
}

// FamiliarString is a reference as people write it.
func FamiliarString(ref Reference) string {
	s := ref.String()
	if short, ok := strings.CutPrefix(s, defaultDomain+"/"); ok {
		if image, ok := strings.CutPrefix(short, official); ok && !strings.Contains(image, "/") {
			return image
		}
		return short
	}
	return s
}
