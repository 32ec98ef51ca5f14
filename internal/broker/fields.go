package broker

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"slices"
	"strings"
)

// bodyCredentials are fields by which servers take a credential from a form or
// from an object of JSON, some of them before that of a header: GitLab's,
// OAuth's (RFC 6749 and 6750), and what APIs call theirs. A field called token
// or password is mostly data; see ownFields for those that are not.
var bodyCredentials = []string{
	"private_token", "job_token", "access_token", "oauth_token", "refresh_token", "client_secret", "client_assertion",
	"auth_token", "api_token", "api_key", "apikey",
}

// ownFields are those of one service.
var ownFields = map[string][]string{"slack.com": {"token"}}

// Fields looks for credentials in the body of a request to a secret's host, as
// it streams by: pinning would be worth little if another account could be
// named there (TestFields). It is for bodies in no content coding.
type Fields struct {
	names []string
	take  func(c byte)
	found string

	text []byte // of the name, or the line, as far as it matters
	// Of JSON.
	depth             int
	quoted, escaped   bool
	inObject, inValue bool
	// Of a form.
	behind bool // the name
}

// maxField is the longest name that is looked at.
const maxField = 256

// Fields is nil where nothing is looked for: at other hosts, where the entry
// says own_credentials, and in bodies that are neither form nor JSON.
func (b *Broker) Fields(host string, port int, contentType string) *Fields {
	mine := b.of(host, port)
	if len(mine) == 0 || slices.ContainsFunc(mine, func(s *secret) bool { return s.OwnCredentials }) {
		return nil
	}
	f := &Fields{names: bodyCredentials}
	for name, own := range ownFields {
		if host == name || strings.HasSuffix(host, "."+name) {
			f.names = append(slices.Clip(f.names), own...)
		}
	}
	kind, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		kind, _, _ = strings.Cut(strings.ToLower(contentType), ";")
	}
	switch {
	case strings.Contains(kind, "json"):
		f.take = f.inJSON
	case strings.Contains(kind, "x-www-form-urlencoded"):
		f.take = f.inForm
	case strings.Contains(kind, "multipart/"):
		f.take = f.inParts
	default:
		return nil
	}
	return f
}

// See takes more of the body. The error is a *[Refusal].
func (f *Fields) See(p []byte) error {
	if f == nil {
		return nil
	}
	for i := 0; i < len(p); i++ {
		if f.quoted && !f.escaped && !f.atName() { // most of what is sent is in such strings
			for i < len(p) && p[i] != '"' && p[i] != '\\' {
				i++
			}
			if i == len(p) {
				break
			}
		}
		f.take(p[i])
	}
	if f.found == "" {
		return nil
	}
	return &Refusal{Reason: "a credential of another account (the body's field " + f.found + ") is not for a host that a secret is for, unless the secret says own_credentials"}
}

// name judges the name of a field.
func (f *Fields) name(name string) {
	name = strings.ReplaceAll(strings.ToLower(strings.TrimSuffix(strings.TrimSpace(name), "[]")), "-", "_")
	if slices.Contains(f.names, name) {
		f.found = name
	}
}

func (f *Fields) keep(c byte) {
	if len(f.text) < maxField {
		f.text = append(f.text, c)
	}
}

// inForm takes name=value pairs between ampersands.
func (f *Fields) inForm(c byte) {
	switch {
	case c == '&':
		f.text, f.behind = f.text[:0], false
	case c == '=' && !f.behind:
		f.behind = true
		if name, err := url.QueryUnescape(string(f.text)); err == nil {
			f.name(name)
		}
	case !f.behind:
		f.keep(c)
	}
}

// inJSON takes the members of the outermost object.
func (f *Fields) inJSON(c byte) {
	if f.quoted {
		f.inString(c)
		return
	}
	switch c {
	case '"':
		f.quoted, f.text = true, f.text[:0]
	case '{', '[':
		f.depth++
		if f.depth == 1 {
			f.inObject, f.inValue = c == '{', false
		}
	case '}', ']':
		f.depth--
	case ':':
		if f.depth == 1 && f.inObject && !f.inValue {
			f.inValue = true
			var name string
			if json.Unmarshal(slices.Concat([]byte{'"'}, f.text, []byte{'"'}), &name) == nil {
				f.name(name)
			}
		}
	case ',':
		f.inValue = f.inValue && f.depth > 1
	}
}

func (f *Fields) inString(c byte) {
	switch {
	case f.escaped:
		f.escaped = false
	case c == '\\':
		f.escaped = true
	case c == '"':
		f.quoted = false
		return
	}
	if f.atName() {
		f.keep(c)
	}
}

// atName says whether a string is the name of one of the outermost members.
func (f *Fields) atName() bool { return f.depth == 1 && !f.inValue }

// inParts takes the lines of multipart bodies (RFC 7578) that name a field.
func (f *Fields) inParts(c byte) {
	if c != '\n' {
		f.keep(c)
		return
	}
	const head = "content-disposition:"
	line := f.text
	f.text = f.text[:0]
	if len(line) < len(head) || !bytes.EqualFold(line[:len(head)], []byte(head)) {
		return
	}
	if _, parameters, err := mime.ParseMediaType(string(bytes.TrimSpace(line[len(head):]))); err == nil {
		f.name(parameters["name"])
	}
}
