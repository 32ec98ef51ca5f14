// Package reference stands in for the module of its name, which the engine's
// client imports to look at names of images before it sends them. That one
// compiles a dozen regular expressions in every process of ours, those inside a
// bottle included, before main: a millisecond of the five that a start took.
// This one has what the client calls, and no expression.
//
// It is no judge of names: the engine is. What it refuses is what would make
// another request of the one that was meant.
package reference

import (
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Where a name leads that says no place.
const (
	defaultDomain = "docker.io"
	officialPath  = "library/"
	defaultTag    = "latest"
)

// ErrReferenceInvalidFormat is a name that is none.
var ErrReferenceInvalidFormat = errors.New("invalid reference format")

// Reference is a name as it is written in full.
type Reference interface{ String() string }

// Named is one that names a repository: DOMAIN/PATH.
type Named interface {
	Reference
	Name() string
}

// Tagged is one that ends with a tag.
type Tagged interface {
	Reference
	Tag() string
}

// Digested is one that ends with a digest.
type Digested interface {
	Reference
	Digest() digest.Digest
}

type repository string

func (r repository) Name() string   { return string(r) }
func (r repository) String() string { return string(r) }

type tagged struct {
	repository
	tag string
}

func (t tagged) Tag() string    { return t.tag }
func (t tagged) String() string { return t.Name() + ":" + t.tag }

type digested struct {
	Named
	digest digest.Digest
}

func (d digested) Digest() digest.Digest { return d.digest }
func (d digested) String() string        { return d.Named.String() + "@" + d.digest.String() }

// ParseNormalizedNamed reads [DOMAIN/]PATH[:TAG][@DIGEST] and adds what a short
// name leaves out.
func ParseNormalizedNamed(s string) (Named, error) {
	name, sum, hasSum := strings.Cut(s, "@")
	tag, hasTag := "", false
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag, hasTag = name[:i], name[i+1:], true
	}
	domain, path := split(name)
	if !isPath(path) || !consists(domain, isOfDomain) || hasTag && !isTag(tag) {
		return nil, ErrReferenceInvalidFormat
	}
	var named Named = repository(domain + "/" + path)
	if hasTag {
		named = tagged{repository(named.Name()), tag}
	}
	if !hasSum {
		return named, nil
	}
	return WithDigest(named, digest.Digest(sum))
}

// ParseAnyReference reads a name. An image's id, 64 hexadecimal digits, is its
// digest.
func ParseAnyReference(s string) (Reference, error) {
	if sum := digest.Digest("sha256:" + s); sum.Validate() == nil {
		return sum, nil
	}
	if sum := digest.Digest(s); sum.Validate() == nil {
		return sum, nil
	}
	return ParseNormalizedNamed(s)
}

// split takes the domain from a name: the first part, if it looks like a host.
func split(name string) (domain, path string) {
	first, rest, more := strings.Cut(name, "/")
	switch {
	case !more:
		return defaultDomain, officialPath + name
	case first == "localhost" || strings.ContainsAny(first, ".:") || strings.ToLower(first) != first:
		domain, path = first, rest
	default:
		return defaultDomain, name
	}
	if domain == defaultDomain && !strings.Contains(path, "/") {
		path = officialPath + path
	}
	return domain, path
}

// TagNameOnly adds the default tag to a name that has neither tag nor digest.
func TagNameOnly(ref Named) Named {
	if bare, ok := ref.(repository); ok {
		return tagged{bare, defaultTag}
	}
	return ref
}

// WithDigest adds a digest to a name.
func WithDigest(name Named, sum digest.Digest) (Named, error) {
	if err := sum.Validate(); err != nil {
		return nil, err
	}
	return digested{name, sum}, nil
}

// FamiliarString is a reference without what ParseNormalizedNamed adds.
func FamiliarString(ref Reference) string {
	short := strings.TrimPrefix(ref.String(), defaultDomain+"/")
	if short == ref.String() {
		return short
	}
	if path, ok := strings.CutPrefix(short, officialPath); ok && !strings.Contains(path, "/") {
		return path
	}
	return short
}

// maxTag is how long a tag may be.
const maxTag = 128

func isTag(tag string) bool {
	return tag != "" && len(tag) <= maxTag && tag[0] != '.' && tag[0] != '-' && consists(tag, isOfTag)
}

// maxPath is how long a path may be.
const maxPath = 255

func isPath(path string) bool {
	if len(path) > maxPath {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || !isLowerOrDigit(part[0]) || !isLowerOrDigit(part[len(part)-1]) || !consists(part, isOfPath) {
			return false
		}
	}
	return true
}

// consists says whether s is made of such bytes, and is not empty.
func consists(s string, of func(c byte) bool) bool {
	for i := range len(s) {
		if !of(s[i]) {
			return false
		}
	}
	return s != ""
}

func isLowerOrDigit(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func isOfPath(c byte) bool { return isLowerOrDigit(c) || c == '.' || c == '_' || c == '-' }

func isOfTag(c byte) bool { return isOfPath(c) || c >= 'A' && c <= 'Z' }

func isOfDomain(c byte) bool { return isOfTag(c) && c != '_' || c == ':' || c == '[' || c == ']' }
