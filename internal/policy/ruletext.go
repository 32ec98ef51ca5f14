package policy

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

var errRuleText = errors.New(`a rule is HOST, *.HOST, HOST:PORT, [METHOD,...] https://HOST/PATH, or tcp://HOST:PORT`)

// ParseRule reads a rule as a person types one:
//
//	api.example.com            ports 80 and 443
//	*.example.com              every name below it
//	api.example.com:8443       that port
//	https://api.example.com/v1/**          by path
//	GET,HEAD https://api.example.com/**    by method and path
//	tcp://db.example.com:5432  whatever is said
//
// What the parts say is checked by [Compile].
func ParseRule(text string) (Rule, error) {
	words := strings.Fields(text)
	var methods []string
	switch len(words) {
	case 1:
	case 2:
		methods, words = strings.Split(words[0], ","), words[1:]
		for i, method := range methods {
			methods[i] = strings.ToUpper(method)
		}
		if slices.Contains(methods, "") {
			return Rule{}, errRuleText
		}
	default:
		return Rule{}, errRuleText
	}
	scheme, rest, ok := strings.Cut(words[0], "://")
	if !ok {
		scheme, rest = "", words[0]
	}
	r, err := readRule(scheme, rest)
	if err != nil {
		return Rule{}, fmt.Errorf("rule %q: %w", clip(text), err)
	}
	if len(methods) > 0 && scheme != "https" && scheme != "http" {
		return Rule{}, fmt.Errorf("rule %q: a method needs an https:// or http:// URL", clip(text))
	}
	r.Methods = methods
	return r, nil
}

func readRule(scheme, rest string) (Rule, error) {
	authority, path := rest, ""
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	host, port, err := splitPort(authority)
	if err != nil {
		return Rule{}, err
	}
	r := Rule{Host: strings.Trim(host, "[]"), Port: port}
	if r.Host == "" || strings.ContainsAny(authority, "@?#") {
		return Rule{}, errRuleText
	}
	switch {
	case scheme == "" && path == "":
		return r, nil
	case scheme == "tcp" && path == "" && port != 0:
		r.TCP = true
		return r, nil
	case scheme == "https" && port == 0:
		r.Port = 443
	case scheme == "http" && port == 0:
		r.Port = 80
	case scheme != "https" && scheme != "http":
		return Rule{}, errRuleText
	}
	if path != "" {
		if strings.ContainsAny(path, "?#") {
			return Rule{}, errors.New("a path has no query")
		}
		r.Paths = []string{path}
	}
	return r, nil
}

// Text is the rule as [ParseRule] reads it. A rule does not say whether TLS is
// spoken at its port: https stands for both where that is not 80.
func (r Rule) Text() string { return r.TextFor(HTTPS) }

// TextFor is Text of a rule that was made from a request of a kind, which says
// whether TLS is spoken.
func (r Rule) TextFor(kind Kind) string {
	host := r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	at := host
	if r.Port != 0 {
		at = listing(r.Host, r.Port)
	}
	switch {
	case r.TCP:
		return "tcp://" + at
	case len(r.Methods)+len(r.Paths) == 0:
		return at
	}
	u := url.URL{Scheme: "https", Host: at}
	if kind == HTTP && r.Port != 443 || r.Port == 80 {
		u.Scheme = "http"
	}
	if r.Port == 443 || r.Port == 80 {
		u.Host = host
	}
	text := u.Scheme + "://" + u.Host
	if len(r.Paths) > 0 {
		text += r.Paths[0]
	}
	if len(r.Methods) > 0 {
		text = strings.Join(r.Methods, ",") + " " + text
	}
	return text
}
