package gateway

import (
	"net/http"
	"strings"

	"claude-bottle/internal/policy"
)

// authority is a host with its port, normalised.
type authority struct {
	host string
	port int
}

// parseAuthority reads host[:port] (RFC 3986, 3.2, without userinfo); port is
// standard where there is none.
func parseAuthority(s string, standard int) (authority, *refusal) {
	host, port := s, standard
	if colon := strings.LastIndexByte(s, ':'); colon >= 0 && !strings.HasSuffix(s, "]") {
		n, err := policy.ParsePort(s[colon+1:])
		if err != nil {
			return authority{}, malformed(err.Error())
		}
		host, port = s[:colon], n
		if strings.Contains(host, ":") && !strings.HasPrefix(host, "[") {
			return authority{}, malformed("an IPv6 address needs brackets")
		}
	}
	normal, err := policy.Normalise(host)
	if err != nil {
		return authority{}, malformed(err.Error())
	}
	return authority{normal, port}, nil
}

// way is how a client reached the gateway, which says what its requests may
// look like.
type way struct {
	proxy bool // absolute form and CONNECT; nothing else
	// to is where a connection goes that is not to the proxy: for plain port
	// 80 any host on that port (host empty), in a CONNECT tunnel that host.
	to authority
	// secure says that the requests are inside TLS, which ends here.
	secure bool
}

// scheme is the one of the requests.
func (w way) scheme() string {
	if w.secure {
		return "https"
	}
	return "http"
}

// standardPort is that of https or of http.
func standardPort(secure bool) int {
	if secure {
		return 443
	}
	return 80
}

// kind is that of the requests, to the policy and in the record.
func (w way) kind() policy.Kind {
	if w.secure {
		return policy.HTTPS
	}
	return policy.HTTP
}

// aim says where r goes and with which path (in origin form). Target, Host
// and the tunnel the request came through must agree (RFC 9112, 3.2).
func (w way) aim(r request) (authority, string, *refusal) {
	host, hosts := r.fields.get("host")
	if hosts > 1 {
		return authority{}, "", malformed("there is more than one Host")
	}
	if hosts == 0 && r.minor == 1 {
		return authority{}, "", malformed("there is no Host")
	}
	standard := 80
	if !w.proxy {
		standard = w.to.port
	}
	to, path, refused := w.aimTarget(r, host, hosts, standard)
	if refused != nil {
		return authority{}, "", refused
	}
	if hosts == 1 {
		named, refused := parseAuthority(host, standard)
		if refused != nil {
			return authority{}, "", refused
		}
		if named != to {
			return authority{}, "", malformed("the Host does not agree with the target").at(to.host, to.port)
		}
	}
	if w.to.host != "" && to != w.to {
		return authority{}, "", w.misdirected().at(to.host, to.port)
	}
	if !w.proxy && to.port != w.to.port {
		return authority{}, "", malformed("the port does not agree with the one connected to").at(to.host, to.port)
	}
	return to, path, nil
}

// aimTarget reads the request's target alone.
func (w way) aimTarget(r request, host string, hosts, standard int) (authority, string, *refusal) {
	if rest, ok := cutScheme(r.target, w.scheme()); ok {
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		to, refused := parseAuthority(rest[:end], standardPort(w.secure))
		path := rest[end:]
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		if r.method == "OPTIONS" && rest[end:] == "" {
			path = "*" // RFC 9112, 3.2.4
		}
		return to, path, refused
	}
	switch {
	case strings.Contains(r.target, "://"):
		return authority{}, "", malformed("only " + w.scheme() + " URLs are taken in absolute form here; https goes through CONNECT")
	case w.proxy:
		return authority{}, "", malformed("this is a proxy: a URL in absolute form or CONNECT is wanted")
	case hosts == 0:
		return authority{}, "", malformed("there is no Host")
	case r.target == "*" && r.method == "OPTIONS", strings.HasPrefix(r.target, "/"):
		to, refused := parseAuthority(host, standard)
		return to, r.target, refused
	default:
		return authority{}, "", malformed("the request's target is no path")
	}
}

// misdirected refuses a request for another name than the connection's. Inside
// TLS the status tells clients that share connections to take another one
// (RFC 9110, 15.5.20).
func (w way) misdirected() *refusal {
	why := malformed("the Host does not agree with the CONNECT name")
	if w.secure {
		why = malformed("the request is for another name than its TLS connection")
		why.status = http.StatusMisdirectedRequest
	}
	return why
}

func cutScheme(target, scheme string) (string, bool) {
	n := len(scheme) + len("://")
	if len(target) < n || !strings.EqualFold(target[:n], scheme+"://") {
		return "", false
	}
	return target[n:], true
}

// recordPath is the path as the record has it, without the query.
func recordPath(path string) string {
	path, _, _ = strings.Cut(path, "?")
	return path
}
