package broker

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// AWS Signature Version 4, as the AWS General Reference and the Amazon S3 API
// Reference ("Authenticating Requests") describe it.
const (
	algorithm     = "AWS4-HMAC-SHA256"
	streamPayload = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	streamTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedTrail = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	unsigned      = "UNSIGNED-PAYLOAD"
)

// ErrNeedBody says that the signature covers the body and that no header says
// its hash: the caller reads the body, within a bound of its own, and asks
// again with Request.PayloadHash.
var ErrNeedBody = errors.New("the signature covers the body, whose hash is needed")

// credential is the value of an Authorization header.
type credential struct {
	keyID     string
	scope     string // date/region/service/aws4_request
	date      string
	region    string
	service   string
	headers   []string
	signature string
}

// readCredential reads "AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…,
// Signature=…", each part once.
func readCredential(value string) (credential, bool) {
	var c credential
	rest, ok := strings.CutPrefix(value, algorithm+" ")
	if !ok {
		return c, false
	}
	parts := map[string]string{}
	for field := range strings.SplitSeq(rest, ",") {
		name, text, ok := strings.Cut(strings.TrimSpace(field), "=")
		if _, twice := parts[name]; !ok || twice {
			return c, false
		}
		parts[name] = text
	}
	if len(parts) != 3 {
		return c, false
	}
	var found bool
	c.keyID, c.scope, found = strings.Cut(parts["Credential"], "/")
	scope := strings.Split(c.scope, "/")
	if !found || len(scope) != 4 || scope[3] != "aws4_request" {
		return c, false
	}
	c.date, c.region, c.service = scope[0], scope[1], scope[2]
	c.headers = strings.Split(parts["SignedHeaders"], ";")
	c.signature = parts["Signature"]
	return c, len(c.signature) == 64 && slices.IsSorted(c.headers) && slices.Contains(c.headers, "host")
}

func (c *credential) String() string {
	return algorithm + " Credential=" + c.keyID + "/" + c.scope +
		", SignedHeaders=" + strings.Join(c.headers, ";") + ", Signature=" + c.signature
}

// sign replaces the signature that the bottle made with placeholders by one
// that the real key makes, after it has checked the former: what the agent
// signed is what is signed again, and nothing else can be.
func (a *attempt) sign() error {
	a.signed = map[string]bool{}
	for _, s := range a.mine {
		values := a.r.Header["Authorization"]
		if !s.SigV4 || len(values) != 1 {
			continue
		}
		c, ok := readCredential(values[0])
		if !ok || c.keyID != s.KeyID.Placeholder {
			continue
		}
		return a.resign(s, c)
	}
	return nil
}

func (a *attempt) resign(s *secret, c credential) error {
	refuse := func(reason string) error { return &Refusal{Secret: s.Name, Reason: reason} }
	token := a.r.Header["X-Amz-Security-Token"]
	if s.Token.Value == "" && len(token) > 0 || s.Token.Value != "" && !slices.Equal(token, []string{s.Token.Placeholder}) {
		return refuse("the session token is not the one that belongs to it")
	}
	if s.Token.Value != "" && !slices.Contains(c.headers, "x-amz-security-token") {
		return refuse("the session token is not signed")
	}
	date := a.r.Header.Get("X-Amz-Date")
	if len(date) != len("20060102T150405Z") || !strings.HasPrefix(date, c.date+"T") || len(a.r.Header["X-Amz-Date"]) != 1 {
		return refuse("header X-Amz-Date is missing, or says another day than the signature")
	}
	payload, err := a.payload(s)
	if err != nil {
		return err
	}
	request, ok := a.canonical(c, a.r.Header, payload)
	if !ok {
		return refuse("the request cannot be put into the form that is signed")
	}
	fake := signingKey(s.Placeholder, c)
	if !hmac.Equal([]byte(signature(fake, date, c, request)), []byte(c.signature)) {
		return refuse("the signature was not made with its placeholder")
	}
	seed := c.signature
	if s.Token.Value != "" {
		a.out.Header["X-Amz-Security-Token"] = []string{s.Token.Value}
	}
	real := signingKey(s.Value, c)
	c.keyID = s.KeyID.Value
	request, _ = a.canonical(c, a.out.Header, payload)
	c.signature = signature(real, date, c, request)
	a.out.Header["Authorization"] = []string{c.String()}
	a.signed["Authorization"], a.signed["X-Amz-Security-Token"] = true, true
	if payload == streamPayload || payload == streamTrailer {
		a.out.Chunks = newChunkSigner(fake, real, seed, c.signature, date, c.scope, payload == streamTrailer)
	}
	return a.use(s)
}

// payload is what the canonical request says of the body.
func (a *attempt) payload(s *secret) (string, error) {
	values := a.r.Header["X-Amz-Content-Sha256"]
	switch {
	case len(values) == 0 && a.r.PayloadHash == "":
		return "", ErrNeedBody
	case len(values) == 0:
		return a.r.PayloadHash, nil
	case len(values) > 1:
		return "", &Refusal{Secret: s.Name, Reason: "header X-Amz-Content-Sha256 is there twice"}
	}
	switch v := values[0]; v {
	case unsigned, streamPayload, streamTrailer, unsignedTrail:
		return v, nil
	default:
		if len(v) != 64 || strings.Trim(v, "0123456789abcdef") != "" {
			return "", &Refusal{Secret: s.Name, Reason: "header X-Amz-Content-Sha256 holds no form of payload that is known"}
		}
		return v, nil
	}
}

// canonical is the canonical request with a header's fields.
func (a *attempt) canonical(c credential, header http.Header, payload string) (string, bool) {
	path, ok := canonicalPath(a.r.Path, c.service)
	if !ok {
		return "", false
	}
	query, ok := canonicalQuery(a.r.RawQuery)
	if !ok {
		return "", false
	}
	var b strings.Builder
	b.WriteString(a.r.Method + "\n" + path + "\n" + query + "\n")
	for _, name := range c.headers {
		values := []string{a.hostHeader()}
		if name != "host" {
			values = slices.Clone(header.Values(name))
		}
		for i, v := range values {
			values[i] = strings.Join(strings.Fields(v), " ")
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	b.WriteString("\n" + strings.Join(c.headers, ";") + "\n" + payload)
	return b.String(), true
}

// hostHeader is what the client had in Host, which it signed.
func (a *attempt) hostHeader() string {
	host := a.r.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if a.r.Port != 443 {
		host += ":" + strconv.Itoa(a.r.Port)
	}
	return host
}

// canonicalPath is the path, each segment encoded once for S3, which takes it
// as it is, and twice for every other service.
func canonicalPath(path, service string) (string, bool) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		text, err := url.PathUnescape(s)
		if err != nil {
			return "", false
		}
		segments[i] = uriEncode(text)
		if service != "s3" {
			segments[i] = uriEncode(segments[i])
		}
	}
	joined := strings.Join(segments, "/")
	if joined == "" {
		joined = "/"
	}
	return joined, true
}

// canonicalQuery is the query, decoded, encoded and sorted.
func canonicalQuery(raw string) (string, bool) {
	if raw == "" {
		return "", true
	}
	type pair struct{ name, value string }
	var pairs []pair
	for field := range strings.SplitSeq(raw, "&") {
		name, value, _ := strings.Cut(field, "=")
		n, err1 := url.PathUnescape(name)
		v, err2 := url.PathUnescape(value)
		if err1 != nil || err2 != nil {
			return "", false
		}
		if field != "" {
			pairs = append(pairs, pair{uriEncode(n), uriEncode(v)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int {
		if c := strings.Compare(a.name, b.name); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String(), true
}

// uriEncode encodes every byte but the unreserved ones of RFC 3986, 2.3.
func uriEncode(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		if strings.IndexByte(lower+upper+digit+"-._~", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

func signature(key []byte, date string, c credential, request string) string {
	sum := sha256.Sum256([]byte(request))
	return hex.EncodeToString(mac(key, algorithm+"\n"+date+"\n"+c.scope+"\n"+hex.EncodeToString(sum[:])))
}

func signingKey(secret string, c credential) []byte {
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
