package gateway

import (
	"slices"
	"strings"

	"claude-bottle/internal/broker"
)

// framingField says whether f is one that the gateway writes itself.
func framingField(f field) bool { return f.is("content-length") || f.is("transfer-encoding") }

// hopByHop says whether f is for the next hop alone (RFC 9110, 7.6.1), the
// bottle's credentials for a proxy included.
func hopByHop(f field) bool {
	for _, name := range []string{
		"connection", "keep-alive", "proxy-connection", "proxy-authorization",
		"proxy-authenticate", "proxy-authentication-info", "te", "upgrade", "http2-settings",
	} {
		if f.is(name) {
			return true
		}
	}
	return false
}

// misnamed says whether a Connection field of a request names, as if it were for
// this hop alone, a field by which somebody decides: what a body is and how long,
// what may come back, and whose request it is. Stripped where one party has looked
// at it already and another has not, such a field makes two readings of one request
// (TestConnectionNames). What says how a hop is used is for Connection to name.
func (fs fields) misnamed() bool {
	for _, f := range fs {
		if !f.is("connection") {
			continue
		}
		for option := range strings.SplitSeq(f.value, ",") {
			option = strings.ToLower(strings.Trim(option, " \t"))
			if slices.Contains(decisive, option) || broker.ForCredentials(option) && !hopByHop(field{name: option}) {
				return true
			}
		}
	}
	return false
}

// decisive are the fields that misnamed knows, beside those for credentials.
var decisive = []string{
	"host", "content-length", "transfer-encoding", "content-encoding", "content-type", "accept-encoding", "expect",
	"cookie", "range", "sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol", "sec-websocket-extensions",
}

// forward is what of the fields goes on: not those of this hop, named by
// Connection or by nature, nor framing, nor what skip says.
func (fs fields) forward(skip func(field) bool) fields {
	on := make(fields, 0, len(fs))
	for _, f := range fs {
		if hopByHop(f) || framingField(f) || skip(f) || fs.has("connection", f.name) {
			continue
		}
		on = append(on, f)
	}
	return on
}

// goesOn says whether a field is for the origin and none that the gateway
// writes itself.
func (fs fields) goesOn(f field) bool {
	return !hopByHop(f) && !framingField(f) && !f.is("host") && !fs.has("connection", f.name)
}
