package preset

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"claude-bottle/internal/policy"
)

// errScheme says that an address is reached by neither HTTP nor HTTPS.
var errScheme = errors.New("not an http:// or https:// address")

// hostOf is the host that a client's URL leads to. What of the URL may be
// secret (user, password, path, query) is neither kept nor in an error.
func hostOf(text string) (Host, error) {
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return Host{}, errors.New("an address in the client's configuration is not a URL")
	}
	port := 0
	switch u.Scheme {
	case "https":
		port = 443
	case "http":
		port = 80
	default:
		return Host{}, errScheme
	}
	name, err := policy.Normalise(u.Hostname())
	if err != nil {
		return Host{}, fmt.Errorf("host %.100q: %w", u.Hostname(), err)
	}
	if text := u.Port(); text != "" {
		if port, err = strconv.Atoi(text); err != nil || port < 1 || port > 65535 {
			return Host{}, fmt.Errorf("host %s: port %.10q is none", name, text)
		}
	}
	return Host{Host: name, Port: port, Open: true}, nil
}
