package policy

import (
	"errors"
	"net/url"
)

var errProxy = errors.New("proxy: http://[user:password@]host:port is wanted")

// parseProxy reads the gateway's own way out. Its error says nothing of the
// text, which may hold a password.
func parseProxy(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/") {
		return nil, errProxy
	}
	if _, err := Normalise(u.Hostname()); err != nil {
		return nil, errProxy
	}
	if _, err := ParsePort(u.Port()); err != nil {
		return nil, errProxy
	}
	return u, nil
}
