package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// aim says where r goes and with which path. What a translation to another
// version of HTTP could turn into something else is refused here
// (TestPseudoHeaders); net/http refused what RFC 9113, 8.2 and 8.3 call
// malformed, but for what is looked at again.
func (m *multiplexed) aim(r *http.Request) (authority, string, *refusal) {
	switch {
	case !isToken(r.Method) || len(r.Method) > 32 || r.Method == http.MethodConnect || r.Method == "PRI":
		return authority{}, "", malformed("the method has no place here")
	case r.Host == "":
		return authority{}, "", malformed("there is no :authority")
	}
	to, refused := parseAuthority(r.Host, m.way.to.port)
	if refused != nil {
		return authority{}, "", refused
	}
	hosts := r.Header["Host"]
	if len(hosts) > 1 {
		return authority{}, "", malformed("there is more than one Host")
	}
	if len(hosts) == 1 {
		named, refused := parseAuthority(hosts[0], m.way.to.port)
		if refused != nil || named != to {
			return authority{}, "", malformed("the Host does not agree with :authority").at(to.host, to.port)
		}
	}
	if to != m.way.to {
		return authority{}, "", m.way.misdirected().at(to.host, to.port)
	}
	path := r.RequestURI
	if !isTarget(path) || !strings.HasPrefix(path, "/") && (path != "*" || r.Method != http.MethodOptions) {
		return to, "", malformed("the request's target is no path")
	}
	if err := saneHeader(r); err != nil {
		return to, path, malformed(err.Error())
	}
	return to, path, nil
}

// saneHeader refuses fields that an HTTP/1.1 parser upstream could read
// differently, and lengths that do not agree with the body.
func saneHeader(r *http.Request) error {
	count := 0
	for name, values := range r.Header {
		count += len(values)
		if !isToken(name) || slices.ContainsFunc(values, func(v string) bool { return !isFieldValue(v) }) {
			return errField
		}
	}
	lengths := r.Header["Content-Length"]
	switch {
	case count > maxFields:
		return errFields
	case len(lengths) > 1:
		return errTwoLengths
	case len(lengths) == 1 && (!isDigits(lengths[0]) || lengths[0] != strconv.FormatInt(r.ContentLength, 10)):
		return errLength
	case r.Header.Get("Expect") != "": // 100-continue was taken out
		return errors.New("the expectation is unknown")
	}
	return nil
}

// outgoing is the request as upstream gets it: the same, without what was for
// this hop. The path stays as it was written.
func (s *stream) outgoing(ctx context.Context) *http.Request {
	header := s.header
	if slices.Contains(s.r.Header["Te"], "trailers") {
		header.Set("Te", "trailers")
	}
	if _, stated := header["User-Agent"]; !stated {
		header["User-Agent"] = []string{""} // or net/http sets its own
	}
	out := &http.Request{
		Method: s.r.Method,
		URL:    verbatim(s.way.to.text(443), s.use.path),
		Host:   s.way.to.text(443),
		Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		ContentLength: s.r.ContentLength, Trailer: s.r.Trailer,
	}
	if s.r.ContentLength != 0 {
		var body io.ReadCloser
		body, out.ContentLength = s.source()
		s.sent = make(chan struct{})
		out.Body = &uploading{ReadCloser: body, stream: s}
	}
	return out.WithContext(s.trace(context.WithValue(ctx, asker{}, s)))
}

// verbatim is a URL that net/http writes on the wire with the very path that it
// was given: what was decided is what is asked for.
func verbatim(host, target string) *url.URL {
	path, query, asked := strings.Cut(target, "?")
	u := &url.URL{Scheme: "https", Host: host, RawQuery: query, ForceQuery: asked}
	if !strings.HasPrefix(path, "//") {
		u.Opaque = path
		return u
	}
	// Opaque would be taken for a host. What a URL cannot hold as it is goes in
	// absolute form, which means the same (RFC 9112, 3.2.2).
	if plain, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = plain, path
		if u.EscapedPath() == path {
			return u
		}
	}
	u.Path, u.RawPath, u.Opaque = "", "", "//"+host+path
	return u
}

// forwarded is a header without what is for one hop (RFC 9110, 7.6.1).
func forwarded(h http.Header) http.Header {
	on := make(http.Header, len(h)+2)
	named := fields{}
	for _, value := range h["Connection"] {
		named = append(named, field{"connection", value})
	}
	for name, values := range h {
		f := field{name: name}
		if hopByHop(f) || f.is("transfer-encoding") || named.has("connection", name) {
			continue
		}
		on[name] = values
	}
	return on
}
