package broker

import (
	"net/url"
	"slices"
	"strings"
)

// pinned refuses, towards a host with a secret, credentials that are none of
// the person's, and no credential at all: either way the request would be
// somebody else's, and what it carries would be theirs.
func (a *attempt) pinned() error {
	if len(a.mine) == 0 {
		return nil
	}
	own, anonymous := false, false
	for _, s := range a.mine {
		own, anonymous = own || s.OwnCredentials, anonymous || s.Anonymous
	}
	other := a.otherCredential()
	switch {
	case other != "" && !own:
		return &Refusal{Reason: "a credential of another account (" + other + ") is not for a host that a secret is for, unless the secret says own_credentials"}
	case other == "" && len(a.used) == 0 && !anonymous:
		s := a.mine[0]
		basic := !s.SigV4 && s.Query == "" && (s.Header == "" || s.Header == "Authorization")
		return &Refusal{Secret: s.Name, Reason: "a request to its host must carry it, unless it says anonymous", Challenge: basic}
	}
	return nil
}

// otherCredential names what looks like a credential and is no secret's.
func (a *attempt) otherCredential() string {
	if a.r.Userinfo {
		return "the name and password in the URL"
	}
	for name, values := range a.rest {
		filled := slices.ContainsFunc(values, func(v string) bool { return v != "" })
		switch {
		case !filled:
		case forCredentials(name):
			return "header " + name
		case strings.EqualFold(name, "Sec-WebSocket-Protocol") && slices.ContainsFunc(values, func(v string) bool {
			return holdsAny(v, credentialWords...) || holdsAny(v, "bearer")
		}):
			return "header " + name
		}
	}
	for pair := range strings.FieldsFuncSeq(a.r.RawQuery, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(pair, "=")
		if value == "" || a.takesQuery(name) {
			continue
		}
		text, err := url.QueryUnescape(name)
		if err != nil || credentialParameter(text) {
			return "a parameter of the query"
		}
	}
	return ""
}

// credentialWords are those by which a header's name says that it holds a
// credential.
var credentialWords = []string{"auth", "token", "key", "secret", "cookie", "session", "passw", "passc", "jwt", "credential", "signature"}

// forCredentials says whether a header is for a credential by its name. Some
// that have such a word are none: the nonce of a WebSocket (RFC 6455, 4.1), the
// name by which a server knows a repeated request, what Claude Code calls its
// conversation, how npm would like to log in, and what it calls a run of itself.
func forCredentials(name string) bool {
	switch strings.ToLower(name) {
	case "sec-websocket-key", "idempotency-key", "x-idempotency-key", "x-claude-code-session-id", "npm-auth-type", "npm-session":
		return false
	}
	return slices.ContainsFunc(credentialFields, func(n string) bool { return strings.EqualFold(n, name) }) ||
		holdsAny(name, credentialWords...)
}

// credentialFields are headers that hold a credential although their names do
// not say so: Artifactory's key, Honeycomb's, WS-Security's, and a token's.
var credentialFields = []string{"x-jfrog-art-api", "x-honeycomb-team", "x-wsse", "x-pat"}

func holdsAny(text string, words ...string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
}

// Parameters of a query that are credentials by name, and those that are none
// although they have a credential's word: where a list goes on.
var (
	credentialNames = []string{"key", "sig", "sign", "jwt", "code", "assertion", "pat", "pass", "pwd", "sas", "ticket", "otp", "awsaccesskeyid"}
	pagingNames     = []string{
		"page_token", "pagetoken", "next_token", "nexttoken", "continuation_token", "sync_token", "starting_token",
		"sort_key", "partition_key", "start_key", "key_marker", "author", "authors",
	}
)

// credentialParameter says whether a query parameter is one by which servers
// take a credential.
func credentialParameter(name string) bool {
	name = strings.ToLower(strings.NewReplacer("-", "_", ".", "_").Replace(name))
	switch {
	case slices.Contains(pagingNames, name):
		return false
	case slices.Contains(credentialNames, name):
		return true
	}
	return holdsAny(name, "auth", "token", "apikey", "api_key", "access_key", "private_key", "subscription_key", "user_key", "app_key", "application_key", "consumer_key", "write_key", "secret", "cookie", "session", "passw", "credential", "signature")
}
