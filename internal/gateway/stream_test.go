package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// Trailers pass both ways, as gRPC needs them, beside a body that goes back
// and forth.
func TestInspectedTrailers(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/grpc")
			w.Header().Set("Trailer", "Grpc-Status")
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s te=%q trailer=%q", body, r.Header.Get("Te"), r.Trailer.Get("X-End"))
			w.Header().Set("Grpc-Status", "0")
			w.Header().Set(http.TrailerPrefix+"Grpc-Message", "fine")
		}, originOf(origin)...)
		got := fetch(t, f.speak(client), "POST", "https://a.example/pkg.Service/Call", io.MultiReader(strings.NewReader("sent")), func(r *http.Request) {
			r.Header.Set("Te", "trailers")
			r.Trailer = http.Header{"X-End": {"the end"}}
		})
		if want := `sent te="trailers" trailer="the end"`; got.body != want {
			t.Errorf("%q, want %q", got.body, want)
		}
		if got.Trailer.Get("Grpc-Status") != "0" || got.Trailer.Get("Grpc-Message") != "fine" || got.Header.Get("Content-Type") != "application/grpc" {
			t.Errorf("trailers %v, header %v", got.Trailer, got.Header)
		}
	})
}

// Each piece of an endless answer arrives when it was sent, and the client's
// pieces reach the origin while it answers.
func TestInspectedStreamsBothWays(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w)
		_ = flush.EnableFullDuplex()
		fmt.Fprint(w, "data: begin\n\n")
		_ = flush.Flush()
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			fmt.Fprintf(w, "data: %s\n\n", lines.Text())
			_ = flush.Flush()
		}
	})
	for _, version := range versions {
		body, say := io.Pipe()
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://a.example/", body)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := f.speak(version).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		heard := bufio.NewScanner(answer.Body)
		next := func() string {
			heard.Scan()
			line := heard.Text()
			heard.Scan()
			return line
		}
		if got := next(); got != "data: begin" {
			t.Errorf("%s: %q", version, got)
		}
		for _, word := range []string{"one", "two"} {
			fmt.Fprintln(say, word)
			if got := next(); got != "data: "+word {
				t.Errorf("%s: %q", version, got)
			}
		}
		say.Close()
		if heard.Scan() {
			t.Errorf("%s: more: %q", version, heard.Text())
		}
		answer.Body.Close()
	}
}

// Bodies go each way, whole, without being held.
func TestInspectedBulk(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		const size = 32 << 20
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
			sum := sha256.New()
			n, _ := io.Copy(sum, r.Body)
			fmt.Fprintf(w, "%d %x\n", n, sum.Sum(nil))
			_, _ = io.CopyN(w, zeros{}, size)
		}, originOf(origin)...)
		var peak uint64
		stop := watchHeap(&peak)
		r, err := http.NewRequestWithContext(t.Context(), "POST", "https://a.example/", io.LimitReader(zeros{}, size))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := f.speak(client).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		br := bufio.NewReader(answer.Body)
		line, err := br.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.New()
		_, _ = io.CopyN(sum, zeros{}, size)
		if want := fmt.Sprintf("%d %x\n", size, sum.Sum(nil)); line != want {
			t.Errorf("%q, want %q", line, want)
		}
		if n, err := io.Copy(io.Discard, br); n != size || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if stop(); peak > 24<<20 {
			t.Errorf("%d MiB more in memory", peak>>20)
		}
	})
}

// zeros never end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// watchHeap notes by how much the heap grows until stop.
func watchHeap(peak *uint64) (stop func()) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	runtime.GC()
	before := heap()
	end := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			if now := heap(); now > before {
				*peak = max(*peak, now-before)
			}
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return sync.OnceFunc(func() { close(end); all.Wait() })
}

// Interim answers are passed on, and a client that waits for 100 gets it.
func TestInspectedInterim(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = w.Write(body)
		}, originOf(origin)...)
		var codes []int
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			codes = append(codes, code)
			return nil
		}}
		c := f.speak(client)
		c.Transport.(*http.Transport).ExpectContinueTimeout = 5 * time.Second
		got := fetch(t, c, "POST", "https://a.example/", strings.NewReader("sent"), func(r *http.Request) {
			r.Header.Set("Expect", "100-continue")
			*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), trace))
		})
		if got.body != "sent" || !strings.Contains(fmt.Sprint(codes), "103") || !strings.Contains(fmt.Sprint(codes), "100") {
			t.Errorf("%q after %v", got.body, codes)
		}
	})
}

// A reset on one side is one on the other.
func TestInspectedResets(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		ended := make(chan struct{}, 1)
		f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
			if r.URL.Path == "/break" {
				panic(http.ErrAbortHandler)
			}
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for r.Context().Err() == nil { // a client of HTTP/1.1 is missed when it is written to
				_, _ = io.WriteString(w, "more")
				_ = http.NewResponseController(w).Flush()
				<-tick.C
			}
			ended <- struct{}{}
		}, originOf(origin)...)
		get := func(ctx context.Context, path string) *http.Response {
			r, err := http.NewRequestWithContext(ctx, "GET", "https://a.example"+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			answer, err := f.speak(client).Do(r)
			if err != nil {
				t.Fatal(err)
			}
			return answer
		}
		answer := get(t.Context(), "/break")
		if b, err := io.ReadAll(answer.Body); err == nil || string(b) != "begin" {
			t.Errorf("a broken answer reads as whole: %q, %v", b, err)
		}
		answer.Body.Close()
		ctx, cancel := context.WithCancel(t.Context())
		answer = get(ctx, "/wait")
		cancel()
		answer.Body.Close()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Error("the origin still works for a client that is gone")
		}
		f.eventually("the broken answer's record", func(e audit.Event) bool {
			return e.Kind == policy.HTTPS && e.Path == "/break" && e.Decision == audit.Failed && e.Phase == audit.Close
		})
	})
}

// A WebSocket works over HTTP/1.1; every other upgrade is dropped.
func TestInspectedWebSocket(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Upgrade"); got != "websocket" {
			fmt.Fprintf(w, "upgrade %q", got)
			return
		}
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		for {
			kind, b, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			_ = conn.Write(r.Context(), kind, append([]byte("echo "), b...))
		}
	}, protoHTTP1)
	conn, answer, err := websocket.Dial(t.Context(), "wss://a.example/socket", &websocket.DialOptions{HTTPClient: f.speak(protoHTTP1)}) //nolint:bodyclose // it is the socket
	if err != nil {
		t.Fatal(err, answer)
	}
	defer func() { _ = conn.CloseNow() }()
	for _, size := range []int{0, 5, 20000} {
		sent := bytes.Repeat([]byte("x"), size)
		if err := conn.Write(t.Context(), websocket.MessageBinary, sent); err != nil {
			t.Fatal(err)
		}
		if _, got, err := conn.Read(t.Context()); err != nil || len(got) != size+5 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	}
	if err := conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	e := f.eventually("the socket's line", func(e audit.Event) bool { return e.Path == "/socket" && e.Phase == audit.Close })
	if e.Decision != audit.Allowed || e.Sent < 20000 {
		t.Errorf("%+v", e)
	}
	got := fetch(t, f.speak(protoHTTP1), "GET", "https://a.example/", nil, func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "other/1")
	})
	if got.body != `upgrade ""` {
		t.Errorf("%q", got.body)
	}
}

// Many requests of one client at once share a connection upstream.
func TestInspectedMultiplexes(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	var together sync.WaitGroup
	together.Add(clientStreams)
	f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		together.Done()
		together.Wait() // all at once, or none
		echo(w, r)
	})
	client := f.speak(protoHTTP2)
	var all sync.WaitGroup
	for i := range clientStreams {
		all.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), "GET", fmt.Sprintf("https://a.example/%d", i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			answer, err := client.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			if b, _ := io.ReadAll(answer.Body); !strings.Contains(string(b), fmt.Sprintf("/%d ", i)) {
				t.Errorf("%d: %q", i, b)
			}
		})
	}
	all.Wait()
	if got := w.dials(); len(got) > 2 {
		t.Errorf("dialled %d times", len(got))
	}
}

// A client that reads nothing holds what one window holds, and is ended.
func TestInspectedClientStalls(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"), func(s *server) { s.limits.idle = 300 * time.Millisecond })
	sent := make(chan error, 1)
	f.serve(w, "a.example", func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, zeros{})
		sent <- err
	})
	for _, version := range versions {
		r, err := http.NewRequestWithContext(t.Context(), "GET", "https://a.example/", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := f.speak(version).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-sent:
			if err == nil {
				t.Error("endless bytes went somewhere")
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the origin still sends", version)
		}
		_, _ = io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}

// Heads that are too large, of an origin, fail the request and nothing else.
func TestInspectedOriginHeaderBomb(t *testing.T) {
	eachPair(t, func(t *testing.T, client, origin string) {
		w := newWorld()
		f := inspectWorld(t, w, everything("a.example"))
		f.serve(w, "a.example", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bomb" {
				for i := range 100 {
					w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 4<<10))
				}
			}
			echo(w, r)
		}, originOf(origin)...)
		c := f.speak(client)
		if got := fetch(t, c, "GET", "https://a.example/bomb", nil); got.StatusCode != http.StatusBadGateway {
			t.Errorf("%d", got.StatusCode)
		}
		if got := fetch(t, c, "GET", "https://a.example/", nil); got.StatusCode != http.StatusOK {
			t.Errorf("afterwards: %d %q", got.StatusCode, got.body)
		}
	})
}

// FuzzVerbatim: what was decided is what is asked for, byte by byte, at the
// host that was decided about.
func FuzzVerbatim(f *testing.F) {
	for _, seed := range []string{"/", "/a%2Fb?c=d?", "//b.example/x", "//", "/?", "///x//%zz", "//a b", "//[::1]/%", "/..//../?#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, target string) {
		if !isTarget(target) || !strings.HasPrefix(target, "/") {
			return
		}
		u := verbatim("a.example:8443", target)
		got := strings.TrimPrefix(u.RequestURI(), "https://a.example:8443")
		if got != target || u.Host != "a.example:8443" || u.Scheme != "https" {
			t.Errorf("%q became %q at %s", target, got, u.Host)
		}
	})
}
