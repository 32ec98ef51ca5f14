package broker

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// replace puts the value where the placeholder is in a header's value. It
// must be all of it: the placeholder itself, a scheme and it ("Bearer P",
// "token P", `Token token="P"`), or Basic with it as the password, or as the
// name where the password is empty or GitHub's filler. In a cookie it is the
// one cookie's value.
func (s *secret) replace(name, value string) (string, bool) {
	if value == s.Placeholder {
		return s.Value, true
	}
	if strings.EqualFold(name, "Cookie") {
		cookie, ok := strings.CutSuffix(value, "="+s.Placeholder)
		if !ok || strings.ContainsAny(cookie, "=;, \t") {
			return "", false
		}
		return cookie + "=" + s.Value, true
	}
	scheme, rest, ok := strings.Cut(value, " ")
	if !ok || !schemeWord(scheme) {
		return "", false
	}
	if strings.EqualFold(scheme, "Basic") {
		inner, ok := s.basic(rest)
		return scheme + " " + inner, ok
	}
	for _, form := range []struct{ before, behind string }{{"", ""}, {"token=", ""}, {`token="`, `"`}} {
		if rest == form.before+s.Placeholder+form.behind {
			return scheme + " " + form.before + s.Value + form.behind, true
		}
	}
	return "", false
}

// basic is RFC 7617.
func (s *secret) basic(encoded string) (string, bool) {
	text, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(text) > 4096 {
		return "", false
	}
	user, password, ok := strings.Cut(string(text), ":")
	switch {
	case !ok:
		return "", false
	case password == s.Placeholder && !strings.Contains(user, s.Placeholder):
		password = s.Value
	case user == s.Placeholder && (password == "" || password == "x-oauth-basic"):
		user = s.Value
	default:
		return "", false
	}
	return base64.StdEncoding.EncodeToString([]byte(user + ":" + password)), true
}

func schemeWord(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, lower+upper+digit+"-_") == ""
}

// query replaces a placeholder that is the whole value of its parameter.
func (a *attempt) query() error {
	pairs := strings.Split(a.r.RawQuery, "&")
	for i, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		for _, s := range a.mine {
			if s.Query == "" || name != s.Query {
				continue
			}
			text, err := url.QueryUnescape(value)
			if err != nil || text != s.Placeholder {
				return &Refusal{Secret: s.Name, Reason: "parameter " + s.Query + " holds something else"}
			}
			if err := a.use(s); err != nil {
				return err
			}
			pairs[i] = name + "=" + url.QueryEscape(s.Value)
		}
	}
	a.out.RawQuery = strings.Join(pairs, "&")
	return nil
}

// takesQuery says whether a parameter is a secret's own.
func (a *attempt) takesQuery(name string) bool {
	for _, s := range a.mine {
		if s.Query != "" && s.Query == name {
			return true
		}
	}
	return false
}
