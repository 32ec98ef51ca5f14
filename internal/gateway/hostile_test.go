package gateway

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// enemy speaks HTTP/2 frame by frame, inside inspected TLS.
type enemy struct {
	t      testing.TB
	conn   *tls.Conn
	framer *http2.Framer
	block  bytes.Buffer
	fields *hpack.Encoder
	next   uint32
}

// attack connects to a.example and sends the preface.
func (f *inspected) attack() *enemy {
	f.t.Helper()
	raw := dial(f.t, f.tls)
	conn := tls.Client(raw, &tls.Config{ServerName: "a.example", RootCAs: f.roots, NextProtos: []string{protoHTTP2}})
	if err := conn.HandshakeContext(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	e := &enemy{t: f.t, conn: conn, framer: http2.NewFramer(conn, conn), next: 1}
	e.fields = hpack.NewEncoder(&e.block)
	e.framer.AllowIllegalWrites = true
	_, _ = io.WriteString(conn, http2.ClientPreface)
	_ = e.framer.WriteSettings()
	return e
}

// encode is a header block of names and values in turn.
func (e *enemy) encode(pairs ...string) []byte {
	e.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		_ = e.fields.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	return bytes.Clone(e.block.Bytes())
}

// get is the block of an ordinary request, with more behind.
func (e *enemy) get(more ...string) []byte {
	return e.encode(append([]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/"}, more...)...)
}

// open sends a whole request and returns its stream.
func (e *enemy) open(block []byte, end bool) uint32 {
	id := e.next
	e.next += 2
	_ = e.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: end})
	return id
}

// fate reads on until stream id has an answer or an end: the status, or how
// it ended.
func (e *enemy) fate(id uint32) string {
	e.t.Helper()
	e.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := e.framer.ReadFrame()
		if err != nil {
			return "closed"
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			if frame.StreamID == id {
				return frame.PseudoValue("status")
			}
		case *http2.RSTStreamFrame:
			if frame.StreamID == id {
				return frame.ErrCode.String()
			}
		case *http2.GoAwayFrame:
			return "GOAWAY " + frame.ErrCode.String()
		}
	}
}

// gone says that the gateway ended the connection in time.
func (e *enemy) gone() bool {
	_ = e.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := io.Copy(io.Discard, e.conn)
	return !timedOut(err)
}

// others makes sure that another client notices nothing.
func (f *inspected) others() {
	f.t.Helper()
	for _, version := range versions {
		began := time.Now()
		got := fetch(f.t, f.speak(version), "GET", "https://a.example/", nil)
		if got.StatusCode != http.StatusOK || time.Since(began) > 5*time.Second {
			f.t.Errorf("another client, %s: %d after %v", version, got.StatusCode, time.Since(began))
		}
	}
}

// What could be read as another request upstream is none (RFC 9113, 8.2, 8.3).
func TestPseudoHeaders(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example", "b.example"))
	var mu sync.Mutex
	var seen []string
	f.serve(w, "a.example", func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen = append(seen, fmt.Sprint(r.Method, r.Host, r.RequestURI, r.Header))
	}, protoHTTP1)
	for name, tt := range map[string]struct {
		pairs []string
		want  string // codes that are allowed
	}{
		"no method":             {[]string{":scheme", "https", ":authority", "a.example", ":path", "/"}, "PROTOCOL_ERROR"},
		"no path":               {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example"}, "PROTOCOL_ERROR"},
		"empty path":            {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", ""}, "PROTOCOL_ERROR"},
		"no scheme":             {[]string{":method", "GET", ":authority", "a.example", ":path", "/"}, "PROTOCOL_ERROR"},
		"scheme http":           {[]string{":method", "GET", ":scheme", "http", ":authority", "a.example", ":path", "/"}, "200"}, // over TLS it is https
		"other scheme":          {[]string{":method", "GET", ":scheme", "ftp", ":authority", "a.example", ":path", "/"}, "PROTOCOL_ERROR"},
		"two paths":             {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/", ":path", "/x"}, "PROTOCOL_ERROR"},
		"two authorities":       {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":authority", "b.example", ":path", "/"}, "PROTOCOL_ERROR"},
		"pseudo behind":         {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", "x", "y", ":path", "/"}, "PROTOCOL_ERROR"},
		"unknown pseudo":        {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/", ":x", "y"}, "PROTOCOL_ERROR"},
		"status in a request":   {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/", ":status", "200"}, "PROTOCOL_ERROR"},
		"no authority":          {[]string{":method", "GET", ":scheme", "https", ":path", "/"}, "400"},
		"other authority":       {[]string{":method", "GET", ":scheme", "https", ":authority", "b.example", ":path", "/"}, "421"},
		"other port":            {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example:8443", ":path", "/"}, "421"},
		"userinfo":              {[]string{":method", "GET", ":scheme", "https", ":authority", "b@a.example", ":path", "/"}, "PROTOCOL_ERROR 400"},
		"space in the method":   {[]string{":method", "GET /x", ":scheme", "https", ":authority", "a.example", ":path", "/"}, "PROTOCOL_ERROR 400"},
		"space in the path":     {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/ HTTP/1.1"}, "PROTOCOL_ERROR 400"},
		"fragment":              {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/#x"}, "PROTOCOL_ERROR 400"},
		"absolute path":         {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "https://b.example/"}, "PROTOCOL_ERROR 400"},
		"no slash":              {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "x"}, "PROTOCOL_ERROR 400"},
		"CONNECT":               {[]string{":method", "CONNECT", ":authority", "b.example:443"}, "400 421"},
		"extended CONNECT":      {[]string{":method", "CONNECT", ":protocol", "websocket", ":scheme", "https", ":authority", "a.example", ":path", "/"}, "PROTOCOL_ERROR"},
		"line in the method":    {[]string{":method", "GET / HTTP/1.1\r\nX: y", ":scheme", "https", ":authority", "a.example", ":path", "/"}, "PROTOCOL_ERROR"},
		"line in the path":      {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/\r\nHost: b.example"}, "PROTOCOL_ERROR"},
		"line in the authority": {[]string{":method", "GET", ":scheme", "https", ":authority", "a.example\r\nX: y", ":path", "/"}, "PROTOCOL_ERROR"},
	} {
		e := f.attack()
		if got := e.fate(e.open(e.encode(tt.pairs...), true)); !contains(tt.want, got) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		e.conn.Close()
	}
	for name, tt := range map[string]struct {
		more []string
		want string
	}{
		"other Host":            {[]string{"host", "b.example"}, "PROTOCOL_ERROR 400"},
		"two Hosts":             {[]string{"host", "a.example", "host", "a.example"}, "PROTOCOL_ERROR 400"},
		"line in a value":       {[]string{"x", "y\r\nz: 1"}, "PROTOCOL_ERROR"},
		"LF in a value":         {[]string{"x", "y\nz"}, "PROTOCOL_ERROR"},
		"NUL in a value":        {[]string{"x", "y\x00z"}, "PROTOCOL_ERROR"},
		"colon in a name":       {[]string{"x:y", "z"}, "PROTOCOL_ERROR"},
		"space in a name":       {[]string{"x y", "z"}, "PROTOCOL_ERROR"},
		"capital in a name":     {[]string{"X-Y", "z"}, "PROTOCOL_ERROR"},
		"empty name":            {[]string{"", "z"}, "PROTOCOL_ERROR"},
		"connection":            {[]string{"connection", "close"}, "400"},
		"transfer-encoding":     {[]string{"transfer-encoding", "chunked"}, "400"},
		"upgrade":               {[]string{"upgrade", "h2c"}, "400"},
		"keep-alive":            {[]string{"keep-alive", "1"}, "400"},
		"proxy-connection":      {[]string{"proxy-connection", "close"}, "400"},
		"te":                    {[]string{"te", "gzip"}, "400"},
		"length without a body": {[]string{"content-length", "5"}, "PROTOCOL_ERROR 400"},
		"two lengths":           {[]string{"content-length", "0", "content-length", "5"}, "PROTOCOL_ERROR 400"},
		"no number":             {[]string{"content-length", "+0"}, "PROTOCOL_ERROR 400"},
		"expectation":           {[]string{"expect", "miracles"}, "400"},
		"too many fields":       {manyFields(maxFields + 1), "400"},
		"fine":                  {[]string{"te", "trailers", "host", "a.example"}, "200"},
	} {
		e := f.attack()
		if got := e.fate(e.open(e.get(tt.more...), true)); !contains(tt.want, got) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
		e.conn.Close()
	}
	// A body that is longer or shorter than it says.
	for name, body := range map[string]string{"longer": "123456", "shorter": "1234"} {
		e := f.attack()
		id := e.open(e.encode(":method", "POST", ":scheme", "https", ":authority", "a.example", ":path", "/", "content-length", "5"), false)
		_ = e.framer.WriteData(id, true, []byte(body))
		if got := e.fate(id); got == "200" {
			t.Errorf("a body %s than its length was taken", name)
		}
		e.conn.Close()
	}
	mu.Lock()
	for _, request := range seen {
		if !strings.HasPrefix(request, "GETa.example/map[") && !strings.HasPrefix(request, "POSTa.example/map[") {
			t.Errorf("the origin saw %s", request)
		}
	}
	mu.Unlock()
	f.eventually("the record of a stream that was reset", func(e audit.Event) bool {
		return e.Kind == policy.HTTPS && e.Decision == audit.Denied && e.Host == "a.example" && strings.HasPrefix(e.Reason, "HTTP/2 as it must not be: ")
	})
	f.others()
}

func contains(words, word string) bool {
	for w := range strings.FieldsSeq(words) {
		if w == word {
			return true
		}
	}
	return false
}

func manyFields(n int) []string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf("x-%d", i), "y")
	}
	return pairs
}

// atOnce is an origin that counts how many requests it works at; those for /slow
// last until they are given up.
type atOnce struct {
	mu            sync.Mutex // guards the rest
	running, most int
}

func (a *atOnce) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	a.running++
	a.most = max(a.most, a.running)
	a.mu.Unlock()
	defer func() { a.mu.Lock(); a.running--; a.mu.Unlock() }()
	if r.URL.Path == "/slow" {
		<-r.Context().Done()
	}
	echo(w, r)
}

// atMost is how many there were at one time.
func (a *atOnce) atMost() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.most
}

// Streams that are opened and reset at once (CVE-2023-44487), a hundred at a
// time, end the client that does it, or cost what it may open.
func TestRapidReset(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	var busy atOnce
	f.serve(w, "a.example", busy.serve)
	var peak uint64
	stop := watchHeap(&peak)
	var all sync.WaitGroup
	for range 4 {
		e := f.attack()
		all.Go(func() {
			go func() { _, _ = io.Copy(io.Discard, e.conn) }() // ends with the connection
			for range 50 {
				for range 100 {
					id := e.open(e.encode(":method", "GET", ":scheme", "https", ":authority", "a.example", ":path", "/slow"), true)
					if err := e.framer.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
						return
					}
				}
			}
		})
	}
	f.others()
	all.Wait()
	f.others()
	stop()
	if most := busy.atMost(); most > 4*clientStreams*5 || peak > 64<<20 {
		t.Errorf("%d at once at the origin, %d MiB", most, peak>>20)
	}
}

// A head that never ends (CVE-2023-45288) ends its client.
func TestContinuationFlood(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	f.serve(w, "a.example", echo)
	var peak uint64
	stop := watchHeap(&peak)
	for name, part := range map[string]func(e *enemy) []byte{
		"fields": func(e *enemy) []byte { return e.encode("x-"+strings.Repeat("y", 100), strings.Repeat("z", 8000)) },
		"empty":  func(*enemy) []byte { return nil },
	} {
		e := f.attack()
		_ = e.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: e.get()})
		ended := make(chan bool, 1)
		go func() { ended <- e.gone() }()
		var err error
		for range 20000 {
			if err = e.framer.WriteContinuation(1, false, part(e)); err != nil {
				break
			}
		}
		e.conn.Close()
		if !<-ended || name == "fields" && err == nil {
			t.Errorf("%s: 20,000 frames were taken", name)
		}
	}
	f.others()
	if stop(); peak > 48<<20 {
		t.Errorf("%d MiB", peak>>20)
	}
}

// A small block that unpacks to a large header costs what a header may.
func TestHeaderListBomb(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	f.serve(w, "a.example", echo)
	var peak uint64
	stop := watchHeap(&peak)
	for range 20 {
		e := f.attack()
		// One field of 4000 bytes goes into the table, then is named by one
		// byte, again and again.
		block := e.get("x-bomb", strings.Repeat("b", 3900))
		block = append(block, bytes.Repeat([]byte{0x80 | 62}, 12000)...)
		if got := e.fate(e.open(block, true)); got == "200" {
			t.Fatal("a header of 46 MB was taken")
		}
	}
	f.others()
	if stop(); peak > 48<<20 {
		t.Errorf("%d MiB", peak>>20)
	}
}

// Heads that stop in the middle, and clients that fell silent, end in time.
func TestHalfOpenHTTP2(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) {
		s.limits.head, s.limits.keepAlive = 200*time.Millisecond, 300*time.Millisecond
	})
	f.serve(w, "a.example", echo)
	begun := f.attack()
	_ = begun.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: begun.get()})
	silent := f.attack()
	raw := dial(t, f.tls)
	conn := tls.Client(raw, &tls.Config{ServerName: "a.example", RootCAs: f.roots, NextProtos: []string{protoHTTP2}})
	if err := conn.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	half := dial(t, f.tls)                                                  // a handshake that stops after its first message
	_, _ = half.Write(clientHello(t, &tls.Config{ServerName: "a.example"})) //nolint:gosec // it goes nowhere
	if !begun.gone() || !silent.gone() {
		t.Error("a client that stopped was kept")
	}
	_ = half.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := io.Copy(io.Discard, half); timedOut(err) {
		t.Error("half a handshake was kept")
	}
	f.others()
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// More requests at once than there are places are told so.
func TestTooManyStreams(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.inspector.streams = make(chan struct{}, 1) })
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hold" {
			held <- struct{}{}
			<-hold
		}
		echo(w, r)
	})
	client := f.speak(protoHTTP2)
	var first sync.WaitGroup
	first.Go(func() {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "https://a.example/hold", nil)
		if answer, err := client.Do(r); err == nil {
			_, _ = io.Copy(io.Discard, answer.Body) // its place is free when its stream ends, not before
			answer.Body.Close()
		}
	})
	<-held
	if got := fetch(t, client, "GET", "https://a.example/", nil); got.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d %q", got.StatusCode, got.body)
	}
	close(hold)
	first.Wait()
	f.eventually("the refusal", func(e audit.Event) bool { return e.Kind == policy.HTTPS && e.Decision == audit.Denied })
	if got := fetch(t, client, "GET", "https://a.example/", nil); got.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", got.StatusCode)
	}
}

// Beyond some HTTP/2 clients, others are served with HTTP/1.1.
func TestFewSpeakHTTP2(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.inspector.multiplexed = make(chan struct{}, 1) })
	f.serve(w, "a.example", echo)
	protocol := func() string {
		conn := tls.Client(dial(t, f.tls), &tls.Config{ServerName: "a.example", RootCAs: f.roots, NextProtos: []string{protoHTTP2, protoHTTP1}})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return conn.ConnectionState().NegotiatedProtocol
	}
	if first, second := protocol(), protocol(); first != protoHTTP2 || second != protoHTTP1 {
		t.Errorf("%s, then %s", first, second)
	}
}
