package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// misdeed is what an origin does to a request that it has read. Each writes
// until it is stopped or has done.
type misdeed struct {
	http1 func(conn net.Conn)
	http2 func(o *badOrigin, id uint32)
	// status and text are of the answer that the client gets, and reason of the
	// record's line, where that is not the text. A status of 200 is one that was
	// begun.
	status       int
	text, reason string
}

// badOrigin speaks HTTP/2 frame by frame, as a server.
type badOrigin struct {
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	fields *hpack.Encoder
}

func (o *badOrigin) encode(pairs ...string) []byte {
	o.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = o.fields.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(o.block.Bytes())
}

// head sends a block of headers, in as many frames as it needs.
func (o *badOrigin) head(id uint32, block []byte, end bool) error {
	first := true
	for len(block) > 0 || first {
		part := block[:min(len(block), 16<<10)]
		block = block[len(part):]
		var err error
		if first {
			err = o.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndHeaders: len(block) == 0, EndStream: end})
		} else {
			err = o.framer.WriteContinuation(id, len(block) == 0, part)
		}
		if first = false; err != nil {
			return err
		}
	}
	return nil
}

// endless writes pieces until the other side has had enough, or much was taken.
func endless(conn net.Conn, piece string) {
	for n := 0; n < 64<<20; n += len(piece) {
		if _, err := io.WriteString(conn, piece); err != nil {
			return
		}
	}
}

// silence lasts until the other side ends it.
func silence(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// reset ends a connection as a host does that knows nothing of it.
func reset(conn net.Conn) {
	raw := conn
	if over, ok := conn.(*tls.Conn); ok {
		raw = over.NetConn()
	}
	_ = raw.(*net.TCPConn).SetLinger(0)
	raw.Close()
}

func says1(text string) func(net.Conn) {
	return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
}

const begun = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"

// misdeeds are what origins of the world do.
func misdeeds() map[string]misdeed {
	field := "X-Much: " + strings.Repeat("y", 4<<10) + "\r\n"
	return map[string]misdeed{
		"never answers": {
			http1: silence, http2: func(o *badOrigin, _ uint32) { silence(o.conn) },
			status: 504, text: "gave no answer in time",
		},
		"hangs up": {
			http1: says1(""), http2: func(*badOrigin, uint32) {},
			status: 502, text: "without an answer",
		},
		"resets": {
			http1: reset, http2: func(o *badOrigin, _ uint32) { reset(o.conn) },
			status: 502, text: "without an answer",
		},
		"resets the stream": {
			http2: func(o *badOrigin, id uint32) {
				_ = o.framer.WriteRSTStream(id, http2.ErrCodeInternal)
				silence(o.conn)
			},
			status: 502, text: "without an answer",
		},
		"goes away": {
			http2: func(o *badOrigin, _ uint32) {
				_ = o.framer.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
				silence(o.conn)
			},
			status: 502, text: "without an answer",
		},
		"goes away politely": {
			http2:  func(o *badOrigin, _ uint32) { _ = o.framer.WriteGoAway(0, http2.ErrCodeNo, nil) },
			status: 502, text: errTurnedAway.Error(),
		},
		"has an odd status": {
			http1:  says1("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"),
			http2:  func(o *badOrigin, id uint32) { _ = o.head(id, o.encode(":status", "999"), true) },
			status: 502, text: "upstream's answer is malformed",
		},
		"is no HTTP": {
			http1:  says1("SSH-2.0-OpenSSH\r\n\r\n"),
			http2:  func(o *badOrigin, _ uint32) { _, _ = io.WriteString(o.conn, "SSH-2.0-OpenSSH\r\n\r\n") },
			status: 502, text: "upstream",
		},
		"huge head": {
			http1: func(conn net.Conn) {
				_, _ = io.WriteString(conn, begun+strings.Repeat(field, 20)+"\r\n")
				silence(conn)
			},
			http2: func(o *badOrigin, id uint32) {
				pairs := []string{":status", "200"}
				for n := range 20 {
					pairs = append(pairs, fmt.Sprintf("x-%d", n), field[8:4<<10])
				}
				_ = o.head(id, o.encode(pairs...), true)
				silence(o.conn)
			},
			status: 502, text: errHeadSize.Error(),
		},
		"endless head": {
			http1: func(conn net.Conn) {
				_, _ = io.WriteString(conn, begun)
				endless(conn, field)
			},
			http2: func(o *badOrigin, id uint32) {
				_ = o.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: o.encode(":status", "200")})
				for range 16 << 10 {
					if o.framer.WriteContinuation(id, false, o.encode("x-much", field[8:4<<10])) != nil {
						return
					}
				}
			},
			status: 502, text: "upstream",
		},
		"endless interim answers": {
			http1: func(conn net.Conn) { endless(conn, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n") },
			http2: func(o *badOrigin, id uint32) {
				for range 1 << 20 {
					if o.head(id, o.encode(":status", "103", "link", "</x>"), false) != nil {
						return
					}
				}
			},
			status: 502, text: "gives no final answer",
		},
		"breaks off": {
			http1: says1(begun + "Content-Length: 100\r\n\r\nhalf"),
			http2: func(o *badOrigin, id uint32) {
				_ = o.head(id, o.encode(":status", "200", "content-length", "100"), false)
				_ = o.framer.WriteData(id, false, []byte("half"))
			},
			status: 200, reason: "upstream broke off its answer",
		},
		"falls silent": {
			http1: func(conn net.Conn) {
				_, _ = io.WriteString(conn, begun+"Content-Length: 100\r\n\r\nhalf")
				silence(conn)
			},
			http2: func(o *badOrigin, id uint32) {
				_ = o.head(id, o.encode(":status", "200", "content-length", "100"), false)
				_ = o.framer.WriteData(id, false, []byte("half"))
				silence(o.conn)
			},
			status: 200, reason: "upstream fell silent in the middle of its answer",
		},
		"endless trailers": {
			http1: func(conn net.Conn) {
				_, _ = io.WriteString(conn, begun+"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n")
				endless(conn, field)
			},
			http2: func(o *badOrigin, id uint32) {
				_ = o.head(id, o.encode(":status", "200"), false)
				_ = o.framer.WriteData(id, false, []byte("half"))
				_ = o.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndStream: true})
				for range 16 << 10 {
					if o.framer.WriteContinuation(id, false, o.encode("x-much", field[8:4<<10])) != nil {
						return
					}
				}
			},
			status: 200, reason: "upstream broke off its answer",
		},
	}
}

// misbehave is an origin that reads a request, and then does what it does.
func (f *inspected) misbehave(w *world, origin string, deed misdeed) {
	listener := listen(f.t.(*testing.T), func(conn net.Conn) {
		if origin == "" {
			serve1(conn, deed.http1)
			return
		}
		config := &tls.Config{Certificates: []tls.Certificate{f.notary.sign("bad.example")}, NextProtos: []string{origin}}
		secured := tls.Server(conn, config)
		if secured.HandshakeContext(f.t.Context()) != nil {
			return
		}
		defer secured.Close()
		if origin == protoHTTP1 {
			serve1(secured, deed.http1)
			return
		}
		serve2(secured, deed.http2)
	})
	w.host("bad.example", 443, listener)
	w.host("bad.example", 80, listener)
}

func serve1(conn net.Conn, deed func(net.Conn)) {
	if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
		deed(conn)
	}
}

func serve2(conn net.Conn, deed func(*badOrigin, uint32)) {
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	o := &badOrigin{conn: conn, framer: http2.NewFramer(conn, conn)}
	o.fields = hpack.NewEncoder(&o.block)
	o.framer.AllowIllegalWrites = true
	_ = o.framer.WriteSettings()
	for {
		frame, err := o.framer.ReadFrame()
		if err != nil {
			return
		}
		if head, ok := frame.(*http2.HeadersFrame); ok {
			deed(o, head.StreamID)
			return
		}
	}
}

// TestBadOrigins: whatever an origin does to a request, the agent reads what was
// wrong, the record says it, memory is bounded and other clients notice nothing.
func TestBadOrigins(t *testing.T) {
	for _, way := range []struct{ name, scheme, client, origin string }{
		{"plain", "http", protoHTTP1, ""},
		{"HTTP1", "https", protoHTTP1, protoHTTP1},
		{"HTTP2 to HTTP1", "https", protoHTTP2, protoHTTP1},
		{"HTTP2", "https", protoHTTP2, protoHTTP2},
	} {
		t.Run(way.name, func(t *testing.T) {
			for name, deed := range misdeeds() {
				if way.origin != protoHTTP2 && deed.http1 == nil {
					continue
				}
				t.Run(name, func(t *testing.T) {
					w := newWorld()
					f := inspectWorld(t, w, everything("a.example", "bad.example"), func(s *server) { s.limits.idle = 500 * time.Millisecond })
					f.serve(w, "a.example", echo)
					f.misbehave(w, way.origin, deed)
					var peak uint64
					stop := watchHeap(&peak)
					f.suffers(way.client, way.scheme+"://bad.example/x", deed)
					f.others()
					if stop(); peak > 32<<20 {
						t.Errorf("%d MiB", peak>>20)
					}
				})
			}
		})
	}
}

// suffers asks the bad origin for something.
func (f *inspected) suffers(client, url string, deed misdeed) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := f.speak(client).Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if answer.StatusCode != deed.status || !strings.Contains(string(body), deed.text) {
		f.t.Errorf("%d %q, want %d %q", answer.StatusCode, body, deed.status, deed.text)
	}
	if deed.status == http.StatusOK {
		if err == nil {
			f.t.Errorf("it reads as whole: %q", body)
		}
	} else if err != nil || answer.Header.Get("X-Claude-Bottle") != "failed" {
		f.t.Errorf("%q, %v", answer.Header, err)
	}
	e := f.eventually("the record's line", func(e audit.Event) bool {
		return e.Host == "bad.example" && (e.Kind == policy.HTTPS || e.Kind == policy.HTTP) && e.Phase == audit.Close
	})
	if reason := deed.reason + deed.text; e.Decision != audit.Failed || e.Rule != ruleUpstream || !strings.Contains(e.Reason, reason) || e.Address == "" {
		f.t.Errorf("recorded: %+v", e)
	}
}
