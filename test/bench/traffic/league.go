package traffic

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Hoarding is how clients of HTTP/2 fill what stands between them and an origin
// that is in league with them: requests whose heads are large and whose bodies
// stop in the middle, and answers that nobody takes.
type Hoarding struct {
	Streams int // requests of each client, as far as it is let
	Head    int // bytes of each head
	Body    int // bytes of each body, as far as there is a window; 0 for requests without one
}

// Kind is that of a client which hoards: an exchange ends when nothing more is
// taken from it.
func (h Hoarding) Kind() Kind {
	return Kind{Name: "hoarding", begin: func(ctx context.Context, p Path) (*client, error) {
		conn, err := p.dial(ctx, p.Origin.League)
		if err != nil {
			return nil, err
		}
		config := &tls.Config{ServerName: Name, RootCAs: p.Roots, MinVersion: tls.VersionTLS12, NextProtos: []string{http2.NextProtoTLS, "http/1.1"}}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		host := fmt.Sprintf("%s:%d", Name, p.Origin.League)
		if secure.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
			return h.singly(secure, host)
		}
		return h.together(secure, host)
	}}
}

// refuses is for how long nothing is taken of one who counts as refused.
const refuses = 200 * time.Millisecond

// singly hoards over HTTP/1.1: one request.
func (h Hoarding) singly(conn net.Conn, host string) (*client, error) {
	if err := conn.SetWriteDeadline(time.Now().Add(refuses)); err != nil {
		return nil, err
	}
	// It may have had enough of this client before the end.
	_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nX-Much: %s\r\nContent-Length: 1000000000\r\n\r\n%s", host, noise(h.Head), noise(h.Body))
	return &client{exchange: func() (int64, error) { return 0, nil }, close: func() error {
		_ = conn.Close() // as above
		return nil
	}}, nil
}

// together hoards over HTTP/2.
func (h Hoarding) together(conn net.Conn, host string) (*client, error) {
	if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := newStreams(conn, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
	first, ended := make(chan struct{}), make(chan struct{})
	go func() { // ends with the connection
		defer close(ended)
		_ = s.read(func(http2.Frame) {}, first)
	}()
	<-first // with the other side's settings
	for i := range h.Streams {
		id := uint32(2*i + 1) //nolint:gosec // few
		method := map[bool]string{true: "POST", false: "GET"}[h.Body > 0]
		pairs := []string{":method", method, ":scheme", "https", ":authority", host, ":path", "/", "content-type", "application/octet-stream"}
		for left, n := h.Head, 0; left > 0; n++ {
			pairs = append(pairs, fmt.Sprintf("x-much-%d", n), noise(min(left, 1<<10)))
			left -= 1 << 10
		}
		if s.head(id, h.Body == 0, pairs...) != nil {
			break // it has had enough of this client
		}
		if h.Body > 0 {
			s.pour(id, h.Body)
		}
	}
	return &client{exchange: func() (int64, error) { return 0, nil }, close: func() error {
		s.close()
		<-ended
		return nil
	}}, nil
}

// noise is text that nothing makes shorter.
func noise(n int) string {
	b := make([]byte, n*3/4+3)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}

// serveLeague answers every request without end, and takes no byte of its body.
func serveLeague(conn *tls.Conn) {
	if conn.Handshake() != nil { //nolint:noctx // it ends with the connection
		return
	}
	if conn.ConnectionState().NegotiatedProtocol != http2.NextProtoTLS {
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Much: "+noise(7<<10)+"\r\nContent-Length: 1000000000\r\n\r\n")
		_ = send(conn, 1e9)
		return
	}
	if _, err := io.ReadFull(conn, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	s := newStreams(conn,
		http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0},
		http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 4},
		http2.Setting{ID: http2.SettingMaxFrameSize, Val: 1<<24 - 1})
	_ = s.read(func(f http2.Frame) {
		if f, ok := f.(*http2.HeadersFrame); ok {
			_ = s.head(f.StreamID, false, ":status", "200", "x-much", noise(7<<10))
			s.pour(f.StreamID, 1e9)
		}
	}, make(chan struct{}))
	s.close()
}

// streams is one side of an HTTP/2 connection that sends as much as it may, and
// grants nothing.
type streams struct {
	conn   net.Conn
	framer *http2.Framer
	block  bytes.Buffer
	fields *hpack.Encoder

	mu      sync.Mutex // guards the rest and what is written
	more    *sync.Cond
	initial int
	room    int          // of the connection
	order   []*streamOut // what is being poured
	over    bool
	all     sync.WaitGroup
}

type streamOut struct {
	id         uint32
	room, left int
}

func newStreams(conn net.Conn, settings ...http2.Setting) *streams {
	s := &streams{conn: conn, framer: http2.NewFramer(conn, conn), initial: 65535, room: 65535}
	s.more = sync.NewCond(&s.mu)
	s.fields = hpack.NewEncoder(&s.block)
	_ = s.framer.WriteSettings(settings...) // reading says what is wrong
	s.all.Go(s.pump)
	return s
}

// close ends the connection.
func (s *streams) close() {
	s.conn.Close()
	s.mu.Lock()
	s.over = true
	s.more.Broadcast()
	s.mu.Unlock()
	s.all.Wait()
}

// read takes frames until the connection ends. first is closed behind the
// settings.
func (s *streams) read(take func(http2.Frame), first chan struct{}) error {
	once := sync.OnceFunc(func() { close(first) })
	defer once()
	for {
		frame, err := s.framer.ReadFrame()
		if err != nil {
			return err
		}
		s.notice(frame, once)
		take(frame)
	}
}

// notice keeps windows as the other side says.
func (s *streams) notice(frame http2.Frame, settled func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.more.Broadcast()
	switch f := frame.(type) {
	case *http2.SettingsFrame:
		if f.IsAck() {
			return
		}
		if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
			for _, out := range s.order {
				out.room += int(v) - s.initial
			}
			s.initial = int(v)
		}
		_ = s.framer.WriteSettingsAck()
		settled()
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			s.room += int(f.Increment)
		}
		for _, out := range s.order {
			if out.id == f.StreamID {
				out.room += int(f.Increment)
			}
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = s.framer.WritePing(true, f.Data)
		}
	}
}

// head sends names and values, none of which the other side keeps in its table.
func (s *streams) head(id uint32, end bool, pairs ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		if err := s.fields.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1], Sensitive: true}); err != nil {
			return err
		}
	}
	for first := true; first || s.block.Len() > 0; first = false {
		part := s.block.Next(16 << 10)
		var err error
		if first {
			err = s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: part, EndHeaders: s.block.Len() == 0, EndStream: end})
		} else {
			err = s.framer.WriteContinuation(id, s.block.Len() == 0, part)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pour has so many bytes of a stream sent, as far as its windows reach.
func (s *streams) pour(id uint32, count int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order = append(s.order, &streamOut{id, s.initial, count})
	s.more.Broadcast()
}

// pump sends what may be sent until the connection ends.
func (s *streams) pump() {
	text := []byte(noise(16 << 10))
	s.mu.Lock()
	defer s.mu.Unlock()
	for !s.over {
		sent := false
		for _, out := range s.order {
			n := min(out.room, out.left, s.room, len(text))
			if n <= 0 {
				continue
			}
			out.room, out.left, s.room = out.room-n, out.left-n, s.room-n
			if s.framer.WriteData(out.id, false, text[:n]) != nil {
				return
			}
			sent = true
		}
		if !sent {
			s.more.Wait()
		}
	}
}
