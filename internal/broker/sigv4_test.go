package broker

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// The published examples: the AWS General Reference's test suite for Signature
// Version 4 (get-vanilla and get-vanilla-query-order-key-case), and the Amazon
// S3 API Reference, "Authenticating Requests: Using the Authorization Header".
// Their keys are the real ones here.
const (
	suiteKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	s3Key    = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	fakeKey  = "fA/keKeyOfTheBottle0123456789abcdefABCDE"
	fakeID   = "AKIAFAKEFAKEFAKE0001"
)

func amazon(id, key string, hosts ...string) Secret {
	return Secret{
		Entry: Entry{Name: "AWS", Hosts: hosts, SigV4: true},
		Pair:  Pair{Value: key, Placeholder: fakeKey}, KeyID: Pair{Value: id, Placeholder: fakeID},
	}
}

// signedBy is r with the signature that a client which holds key makes.
func signedBy(r Request, id, key, scope, names, payload string) Request {
	r.Header = r.Header.Clone()
	parts := strings.Split(scope, "/")
	c := credential{keyID: id, scope: scope, date: parts[0], region: parts[1], service: parts[2], headers: strings.Split(names, ";")}
	a := &attempt{r: r}
	request, ok := a.canonical(c, r.Header, payload)
	if !ok {
		panic("no canonical request")
	}
	c.signature = signature(signingKey(key, c), r.Header.Get("X-Amz-Date"), c, request)
	r.Header.Set("Authorization", c.String())
	return r
}

func TestSigV4(t *testing.T) {
	for name, test := range map[string]struct {
		secret                Secret
		request               Request
		scope, names, payload string
		want                  string
	}{
		"get-vanilla": {
			secret:  amazon("AKIDEXAMPLE", suiteKey, "example.amazonaws.com"),
			request: Request{Method: "GET", Host: "example.amazonaws.com", Path: "/", PayloadHash: emptyHash, Header: http.Header{"X-Amz-Date": {"20150830T123600Z"}}},
			scope:   "20150830/us-east-1/service/aws4_request", names: "host;x-amz-date", payload: emptyHash,
			want: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
		},
		"get-vanilla-query-order-key-case": {
			secret:  amazon("AKIDEXAMPLE", suiteKey, "example.amazonaws.com"),
			request: Request{Method: "GET", Host: "example.amazonaws.com", Path: "/", RawQuery: "Param2=value2&Param1=value1", PayloadHash: emptyHash, Header: http.Header{"X-Amz-Date": {"20150830T123600Z"}}},
			scope:   "20150830/us-east-1/service/aws4_request", names: "host;x-amz-date", payload: emptyHash,
			want: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
		},
		"s3, a range": {
			secret: amazon("AKIAIOSFODNN7EXAMPLE", s3Key, "*.s3.amazonaws.com"),
			request: Request{Method: "GET", Host: "examplebucket.s3.amazonaws.com", Path: "/test.txt", Header: http.Header{
				"Range": {"bytes=0-9"}, "X-Amz-Content-Sha256": {emptyHash}, "X-Amz-Date": {"20130524T000000Z"},
			}},
			scope: "20130524/us-east-1/s3/aws4_request", names: "host;range;x-amz-content-sha256;x-amz-date", payload: emptyHash,
			want: "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
		},
		"s3, a put": {
			secret: amazon("AKIAIOSFODNN7EXAMPLE", s3Key, "*.s3.amazonaws.com"),
			request: Request{Method: "PUT", Host: "examplebucket.s3.amazonaws.com", Path: "/test$file.text", Header: http.Header{
				"Date": {"Fri, 24 May 2013 00:00:00 GMT"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}, "X-Amz-Date": {"20130524T000000Z"},
				"X-Amz-Content-Sha256": {"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"},
			}},
			scope: "20130524/us-east-1/s3/aws4_request", names: "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			payload: "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
			want:    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
		},
	} {
		test.request.Verified, test.request.Port = true, 443
		r := signedBy(test.request, fakeID, fakeKey, test.scope, test.names, test.payload)
		out, err := broker(t, test.secret).Apply(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := out.Header.Get("Authorization")
		if !strings.HasSuffix(got, "Signature="+test.want) || !strings.Contains(got, "Credential="+test.secret.KeyID.Value+"/") {
			t.Errorf("%s: %s", name, got)
		}
		if text := fmt.Sprint(out); strings.Contains(text, test.secret.Value) || !slices.Equal(out.Used, []string{"AWS"}) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// objectPut is the S3 reference's example of a chunked upload.
func objectPut() Request {
	return Request{
		Verified: true, Method: "PUT", Host: "s3.amazonaws.com", Port: 443, Path: "/examplebucket/chunkObject.txt",
		Header: http.Header{
			"X-Amz-Date": {"20130524T000000Z"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}, "X-Amz-Content-Sha256": {streamPayload},
			"Content-Encoding": {"aws-chunked"}, "X-Amz-Decoded-Content-Length": {"66560"}, "Content-Length": {"66824"},
		},
	}
}

const (
	putNames = "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class"
	s3Scope  = "20130524/us-east-1/s3/aws4_request"
)

// fakeChunks is a body as the bottle signs it.
func fakeChunks(t *testing.T, seed string, chunks ...string) []byte {
	t.Helper()
	key := signingKey(fakeKey, credential{date: "20130524", region: "us-east-1", service: "s3"})
	// A signer whose two keys are one makes what it checks.
	c := newChunkSigner(key, key, seed, seed, "20130524T000000Z", s3Scope, false)
	var body bytes.Buffer
	for _, chunk := range chunks {
		prior := c.rePrior
		sig := chunkSignature(key, prior, chunk)
		if _, err := c.next("AWS4-HMAC-SHA256-PAYLOAD", emptyHash+"\n", []byte(chunk), sig); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&body, "%x;chunk-signature=%s\r\n%s\r\n", len(chunk), sig, chunk)
	}
	return body.Bytes()
}

func chunkSignature(key []byte, prior, chunk string) string {
	request := strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", "20130524T000000Z", s3Scope, prior, emptyHash, hashOf(chunk)}, "\n")
	return fmt.Sprintf("%x", mac(key, request))
}

func TestSigV4Chunks(t *testing.T) {
	b := broker(t, amazon("AKIAIOSFODNN7EXAMPLE", s3Key, "s3.amazonaws.com"))
	r := signedBy(objectPut(), fakeID, fakeKey, s3Scope, putNames, streamPayload)
	out, err := b.Apply(r)
	if err != nil || out.Chunks == nil {
		t.Fatal(err)
	}
	if got := out.Header.Get("Authorization"); !strings.HasSuffix(got, "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9") {
		t.Errorf("seed: %s", got)
	}
	_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	body := fakeChunks(t, seed, strings.Repeat("a", 64<<10), strings.Repeat("a", 1<<10), "")
	var sent bytes.Buffer
	if err := out.Chunks.Copy(&sent, bytes.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	if sent.Len() != 66824 || len(body) != 66824 {
		t.Errorf("%d bytes became %d", len(body), sent.Len())
	}
	for _, want := range []string{
		"10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n",
		"400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n",
		"0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n",
	} {
		if !strings.Contains(sent.String(), want) {
			t.Errorf("not sent: %s", want)
		}
	}
	for name, body := range map[string][]byte{
		"another seed":    fakeChunks(t, strings.Repeat("0", 64), "a", ""),
		"a changed chunk": bytes.Replace(body, []byte("aaa"), []byte("aab"), 1),
		"cut short":       body[:len(body)-20],
		"too big":         []byte("200000;chunk-signature=" + strings.Repeat("0", 64) + "\r\n"),
		"more behind":     append(bytes.Clone(body), 'x'),
		"no signature":    []byte("0\r\n\r\n"),
		"nothing":         nil,
	} {
		out, err := b.Apply(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Chunks.Copy(&bytes.Buffer{}, bytes.NewReader(body)); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestSigV4Trailers(t *testing.T) {
	b := broker(t, amazon("AKIAIOSFODNN7EXAMPLE", s3Key, "s3.amazonaws.com"))
	r := objectPut()
	r.Header.Set("X-Amz-Content-Sha256", streamTrailer)
	r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
	r = signedBy(r, fakeID, fakeKey, s3Scope, putNames, streamTrailer)
	out, err := b.Apply(r)
	if err != nil {
		t.Fatal(err)
	}
	_, seed, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
	body := fakeChunks(t, seed, "abc", "")
	body = body[:len(body)-2]
	last := string(body[len(body)-66 : len(body)-2])
	key := signingKey(fakeKey, credential{date: "20130524", region: "us-east-1", service: "s3"})
	trailer := "x-amz-checksum-crc32c:sOO8/Q=="
	sig := fmt.Sprintf("%x", mac(key, strings.Join([]string{"AWS4-HMAC-SHA256-TRAILER", "20130524T000000Z", s3Scope, last, hashOf(trailer + "\n")}, "\n")))
	whole := string(body) + trailer + "\r\nx-amz-trailer-signature:" + sig + "\r\n\r\n"
	var sent bytes.Buffer
	if err := out.Chunks.Copy(&sent, strings.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	if sent.Len() != len(whole) || strings.Contains(sent.String(), sig) || !strings.Contains(sent.String(), trailer) {
		t.Errorf("%q became %q", whole, sent.String())
	}
	out, _ = b.Apply(r)
	if err := out.Chunks.Copy(&bytes.Buffer{}, strings.NewReader(strings.Replace(whole, "sOO8", "sOO9", 1))); err == nil {
		t.Error("a changed trailer was signed")
	}
}

func TestSigV4Refuses(t *testing.T) {
	b := broker(t, amazon("AKIAIOSFODNN7EXAMPLE", s3Key, "s3.amazonaws.com"))
	good := signedBy(objectPut(), fakeID, fakeKey, s3Scope, putNames, streamPayload)
	if _, err := b.Apply(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Request){
		"another path":          func(r *Request) { r.Path = "/other" },
		"another query":         func(r *Request) { r.RawQuery = "acl" },
		"another method":        func(r *Request) { r.Method = "DELETE" },
		"another signed header": func(r *Request) { r.Header.Set("X-Amz-Storage-Class", "STANDARD") },
		"another key":           func(r *Request) { *r = signedBy(objectPut(), fakeID, "theirs", s3Scope, putNames, streamPayload) },
		"another key ID":        func(r *Request) { *r = signedBy(objectPut(), "AKIATHEIRS", fakeKey, s3Scope, putNames, streamPayload) },
		"no date":               func(r *Request) { r.Header.Del("X-Amz-Date") },
		"another day":           func(r *Request) { r.Header.Set("X-Amz-Date", "20130525T000000Z") },
		"a session token":       func(r *Request) { r.Header.Set("X-Amz-Security-Token", "theirs") },
		"no TLS":                func(r *Request) { r.Verified = false },
		"two signatures":        func(r *Request) { r.Header.Add("Authorization", good.Header.Get("Authorization")) },
		"the key sent":          func(r *Request) { r.Header.Set("X-Api-Key", fakeKey) },
		"a presigned URL":       func(r *Request) { r.Header.Del("Authorization"); r.RawQuery = "X-Amz-Credential=" + fakeID },
		"no signature":          func(r *Request) { r.Header.Del("Authorization") },
	} {
		r := good
		r.Header = good.Header.Clone()
		change(&r)
		out, err := b.Apply(r)
		var refusal *Refusal
		if !errors.As(err, &refusal) || strings.Contains(fmt.Sprint(err, out), s3Key) {
			t.Errorf("%s: %v %v", name, err, out)
		}
	}
	r := objectPut()
	r.Header.Del("X-Amz-Content-Sha256")
	r = signedBy(r, fakeID, fakeKey, s3Scope, strings.Replace(putNames, "x-amz-content-sha256;", "", 1), emptyHash)
	if _, err := b.Apply(r); !errors.Is(err, ErrNeedBody) {
		t.Errorf("without a hash: %v", err)
	}
	r.PayloadHash = emptyHash
	if _, err := b.Apply(r); err != nil {
		t.Errorf("with a hash: %v", err)
	}
}

// The session token is a header that is signed: it is replaced before.
func TestSigV4Token(t *testing.T) {
	s := amazon("ASIAIOSFODNN7EXAMPLE", s3Key, "s3.amazonaws.com")
	s.Token = Pair{Value: "real-session-token-0001", Placeholder: "fake-session-token-0002"}
	b := broker(t, s)
	r := objectPut()
	r.Header.Set("X-Amz-Security-Token", s.Token.Placeholder)
	r.Header.Set("X-Amz-Content-Sha256", unsigned)
	names := strings.Replace(putNames, "x-amz-storage", "x-amz-security-token;x-amz-storage", 1)
	out, err := b.Apply(signedBy(r, fakeID, fakeKey, s3Scope, names, unsigned))
	if err != nil || out.Chunks != nil {
		t.Fatal(err)
	}
	want := r
	want.Header = r.Header.Clone()
	want.Header.Set("X-Amz-Security-Token", s.Token.Value)
	want = signedBy(want, s.KeyID.Value, s3Key, s3Scope, names, unsigned)
	if got := out.Header.Get("Authorization"); got != want.Header.Get("Authorization") || out.Header.Get("X-Amz-Security-Token") != s.Token.Value {
		t.Errorf("%s", got)
	}
	if _, err := b.Apply(signedBy(r, fakeID, fakeKey, s3Scope, putNames, unsigned)); err == nil {
		t.Error("a token that is not signed was let through")
	}
}

func hashOf(text string) string { return fmt.Sprintf("%x", sum(text)) }

func sum(text string) []byte {
	h := sha256.Sum256([]byte(text))
	return h[:]
}
