package gateway

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"

	"claude-bottle/internal/policy"
)

// signer signs as the AWS General Reference says (version 4), written from it
// and not from what is tested here.
type signer struct{ id, key, token string }

const (
	signedDate  = "20261127T120000Z"
	signedScope = "20261127/eu-west-1/s3/aws4_request"
	chunkedBody = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
)

func sum(data string) string { s := sha256.Sum256([]byte(data)); return hex.EncodeToString(s[:]) }

func (s signer) mac(data string) string {
	key := []byte("AWS4" + s.key)
	for part := range strings.SplitSeq(signedScope, "/") {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(part))
		key = h.Sum(nil)
	}
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return hex.EncodeToString(h.Sum(nil))
}

// seed is the signature of a PUT of /o to host, over these headers and what is
// said of the payload.
func (s signer) seed(host, payload string, said bool) string {
	names, lines := "host;x-amz-date;x-amz-security-token", "host:"+host+"\n"
	if said {
		names = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
		lines += "x-amz-content-sha256:" + payload + "\n"
	}
	lines += "x-amz-date:" + signedDate + "\nx-amz-security-token:" + s.token + "\n"
	request := "PUT\n/o\n\n" + lines + "\n" + names + "\n" + payload
	return s.mac("AWS4-HMAC-SHA256\n" + signedDate + "\n" + signedScope + "\n" + sum(request))
}

func (s signer) header(host, payload string, said bool) http.Header {
	names := "host;x-amz-date;x-amz-security-token"
	h := http.Header{"X-Amz-Date": {signedDate}, "X-Amz-Security-Token": {s.token}}
	if said {
		names = "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
		h.Set("X-Amz-Content-Sha256", payload)
	}
	h.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", s.id, signedScope, names, s.seed(host, payload, said)))
	return h
}

// chunks are a body cut, each piece signed after the one before.
func (s signer) chunks(seed string, pieces ...string) string {
	var body strings.Builder
	for _, piece := range append(pieces, "") {
		seed = s.mac("AWS4-HMAC-SHA256-PAYLOAD\n" + signedDate + "\n" + signedScope + "\n" + seed + "\n" + sum("") + "\n" + sum(piece))
		fmt.Fprintf(&body, "%x;chunk-signature=%s\r\n%s\r\n", len(piece), seed, piece)
	}
	return body.String()
}

// verify is what a request that came is worth to a server with the real key.
func (s signer) verify(r *http.Request, body string) error {
	payload := r.Header.Get("X-Amz-Content-Sha256")
	said := payload != ""
	if !said {
		payload = sum(body)
	}
	for name, values := range s.header(r.Host, payload, said) {
		if r.Header.Get(name) != values[0] {
			return fmt.Errorf("%s is %q, and should be %q", name, r.Header.Get(name), values[0])
		}
	}
	if payload != chunkedBody {
		return nil
	}
	var pieces []string
	for in := bufio.NewReader(strings.NewReader(body)); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			break
		}
		size, _ := strconv.ParseInt(line[:strings.IndexByte(line, ';')], 16, 32)
		piece := make([]byte, size+2)
		if _, err := io.ReadFull(in, piece); err != nil {
			return err
		}
		if size > 0 {
			pieces = append(pieces, string(piece[:size]))
		}
	}
	if s.chunks(s.seed(r.Host, payload, said), pieces...) != body {
		return fmt.Errorf("the chunks are not signed with the real key")
	}
	return nil
}

// A body that is covered by a signature goes on with the real one: held where
// its hash is not said, and chunk by chunk where the chunks are signed.
func TestBrokeredSignedBodies(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		const host = "s3.example"
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "AWS_SECRET_ACCESS_KEY", Hosts: []string{host}, SigV4: true})
		f := brokerWorld(t, w, policy.Egress{}, s)
		real := signer{s.KeyID.Value, s.Value, s.Token.Value}
		inside := signer{s.KeyID.Placeholder, s.Placeholder, s.Token.Placeholder}
		f.serve(w, host, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if err := real.verify(r, string(body)); err != nil {
				http.Error(w, err.Error(), http.StatusForbidden)
				return
			}
			fmt.Fprintf(w, "%d bytes", len(body))
		}, originOf(origin)...)
		large := strings.Repeat("x", 200000)
		chunked := inside.chunks(inside.seed(host, chunkedBody, true), large, "small", large)
		for what, test := range map[string]struct {
			body   string
			header http.Header
			status int
			reason string
		}{
			"said":          {"text", inside.header(host, sum("text"), true), 200, "4 bytes"},
			"not said":      {large, inside.header(host, sum(large), false), 200, "200000 bytes"},
			"empty":         {"", inside.header(host, sum(""), false), 200, "0 bytes"},
			"chunks":        {chunked, inside.header(host, chunkedBody, true), 200, strconv.Itoa(len(chunked)) + " bytes"},
			"another body":  {"other", inside.header(host, sum("text"), false), 403, "was not made with its placeholder"},
			"another's key": {"text", signer{s.KeyID.Placeholder, "theirs", s.Token.Placeholder}.header(host, sum("text"), true), 403, "was not made with its placeholder"},
			"another's ID":  {"text", signer{"AKIAEVIL", "theirs", "theirs"}.header(host, sum("text"), true), 403, "credential of another account"},
		} {
			for _, length := range []bool{true, false} {
				got := fetch(t, f.speak(client), "PUT", "https://"+host+"/o", io.MultiReader(strings.NewReader(test.body)), func(r *http.Request) {
					r.Header = test.header.Clone()
					if length { // else it goes as chunks, or as frames alone
						r.ContentLength = int64(len(test.body))
						r.Body = io.NopCloser(bytes.NewReader([]byte(test.body)))
					}
				})
				if got.StatusCode != test.status || !strings.Contains(got.body, test.reason) {
					t.Errorf("%s, length %v: %d %.200q", what, length, got.StatusCode, got.body)
				}
			}
		}
		// A chunk that is not the agent's ends the request, and no server takes
		// the part for the whole; a body that is too large to be held is refused.
		for what, test := range map[string]struct {
			body   string
			header http.Header
		}{
			"a forged chunk": {strings.Replace(chunked, "small", "smell", 1), inside.header(host, chunkedBody, true)},
			"half a body":    {chunked[:len(chunked)/2], inside.header(host, chunkedBody, true)},
			"too large":      {strings.Repeat("x", maxSigned+1), inside.header(host, sum(strings.Repeat("x", maxSigned+1)), false)},
		} {
			r, err := http.NewRequestWithContext(t.Context(), "PUT", "https://"+host+"/o", strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header = test.header
			answer, err := f.speak(client).Do(r)
			if err != nil {
				continue // it was cut
			}
			answer.Body.Close()
			if answer.StatusCode/100 == 2 {
				t.Errorf("%s: %d", what, answer.StatusCode)
			}
		}
	})
}

// Bodies that are begun and never ended hold a bounded number of chunks; when
// their clients have gone there is room again.
func TestSignedBodiesAreFew(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		const host = "s3.example"
		w := newWorld()
		s := secretFor(t, policy.Secret{Name: "AWS_SECRET_ACCESS_KEY", Hosts: []string{host}, SigV4: true})
		var gateway *server
		f := brokerWorldWith(t, w, policy.Egress{}, []option{func(srv *server) { gateway = srv }}, s)
		inside := signer{s.KeyID.Placeholder, s.Placeholder, s.Token.Placeholder}
		f.serve(w, host, func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprintf(w, "%d bytes", n)
		}, originOf(origin)...)
		c := f.speak(client)
		put := func(body io.Reader) (int, error) {
			r, err := http.NewRequestWithContext(t.Context(), "PUT", "https://"+host+"/o", body)
			if err != nil {
				return 0, err
			}
			r.Header = inside.header(host, chunkedBody, true)
			answer, err := c.Do(r)
			if err != nil {
				return 0, err
			}
			return answer.StatusCode, answer.Body.Close()
		}
		chunked := inside.chunks(inside.seed(host, chunkedBody, true), "text")
		var clients sync.WaitGroup
		var bodies []*io.PipeWriter
		leave := func() {
			for _, out := range bodies {
				out.CloseWithError(io.ErrUnexpectedEOF)
			}
		}
		defer leave()
		for range maxSigning {
			in, out := io.Pipe()
			bodies = append(bodies, out)
			clients.Go(func() { _, _ = put(in) })
			if _, err := io.WriteString(out, chunked[:len(chunked)/2]); err != nil {
				t.Fatal(err)
			}
		}
		waitFor(t, "all places taken", func() bool { return len(gateway.signing) == maxSigning })
		if status, err := put(strings.NewReader(chunked)); err != nil || status != http.StatusServiceUnavailable {
			t.Errorf("one more: %d, %v", status, err)
		}
		leave()
		clients.Wait()
		waitFor(t, "room", func() bool {
			status, err := put(strings.NewReader(chunked))
			return err == nil && status == http.StatusOK
		})
	})
}

// Two that both found the last place free: one of them is told so at once, and
// nothing waits for it.
func TestLastPlaceToSign(t *testing.T) {
	const host, clients = "s3.example", 2
	w := newWorld()
	s := secretFor(t, policy.Secret{Name: "AWS_SECRET_ACCESS_KEY", Hosts: []string{host}, SigV4: true})
	var gateway *server
	f := brokerWorldWith(t, w, policy.Egress{}, []option{func(srv *server) { gateway = srv }}, s)
	inside := signer{s.KeyID.Placeholder, s.Placeholder, s.Token.Placeholder}
	begun, over := make(chan struct{}), make(chan struct{})
	f.serve(w, host, func(_ http.ResponseWriter, r *http.Request) {
		if _, err := r.Body.Read(make([]byte, 1)); err == nil { // it has the place
			close(begun)
			<-over
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}, protoHTTP1)
	for range maxSigning - 1 {
		gateway.signing <- struct{}{}
	}
	chunked := inside.chunks(inside.seed(host, chunkedBody, true), "text")
	statuses := make(chan int, clients)
	var puts sync.WaitGroup
	w.mu.Lock() // nobody finds the way until all have found the place
	for range clients {
		puts.Go(func() {
			in, out := io.Pipe()
			go func() { // ends with in
				_, _ = io.WriteString(out, chunked[:len(chunked)-40])
				<-over
				_, _ = io.WriteString(out, chunked[len(chunked)-40:])
				_ = out.Close()
			}()
			r, err := http.NewRequestWithContext(t.Context(), "PUT", "https://"+host+"/o", in)
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = inside.header(host, chunkedBody, true)
			answer, err := f.speak(protoHTTP1).Do(r)
			if err != nil {
				t.Error(err)
				statuses <- 0
				return
			}
			answer.Body.Close()
			statuses <- answer.StatusCode
		})
	}
	waitFor(t, "both on their way", func() bool {
		var stacks strings.Builder
		_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
		return strings.Count(stacks.String(), "gateway.(*world).LookupNetIP(") == clients
	})
	w.mu.Unlock()
	<-begun
	if status := <-statuses; status != http.StatusServiceUnavailable {
		t.Errorf("the one that comes too late: %d", status)
	}
	close(over)
	if status := <-statuses; status != http.StatusOK {
		t.Errorf("the one that has the place: %d", status)
	}
	puts.Wait()
}
