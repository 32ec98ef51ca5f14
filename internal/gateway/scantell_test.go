package gateway

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What a bottle says and then waits for an answer to arrives, whether a value
// that it does not have begins so or not: an origin that answers, or echoes,
// tells nothing by it.
func TestUploadsTellNothing(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"))
	f.serve(f.w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // answers before the body has ended
		n, _ := strconv.Atoi(r.Header.Get("X-Said"))
		said := make([]byte, n)
		if _, err := io.ReadFull(r.Body, said); err == nil {
			_, _ = w.Write([]byte("heard"))
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, way := range []string{"inspected", "h2"} {
		by := f.ways[way]
		for _, form := range []string{hidden, hex.EncodeToString([]byte(hidden))} {
			for _, n := range []int{1, 8, len(form) - 1} {
				for _, coding := range []string{"", "gzip"} {
					said := []byte("it begins with " + form[:n])
					if coding != "" {
						var body bytes.Buffer
						z := gzip.NewWriter(&body)
						_, _ = z.Write(said)
						_ = z.Flush()
						said = body.Bytes()
					}
					in, out := io.Pipe()
					stop := context.AfterFunc(ctx, func() { in.Close() })
					r, err := http.NewRequestWithContext(ctx, "POST", by.base+"/", in)
					if err != nil {
						t.Fatal(err)
					}
					r.Header.Set("X-Said", strconv.Itoa(len(said)))
					if coding != "" {
						r.Header.Set("Content-Encoding", coding)
					}
					go func() { _, _ = out.Write(said) }() // ends with in
					answer, err := by.client.Do(r)
					if err != nil {
						t.Fatalf("%s: %d of %q %s: %v", way, n, form, coding, err)
					}
					if answer.StatusCode != http.StatusOK {
						t.Errorf("%s: %d of %q %s: %s", way, n, form, coding, answer.Status)
					}
					answer.Body.Close()
					in.Close()
					stop()
				}
			}
		}
	}
}

// Nor do the pieces in which it arrives.
func TestPiecesTellNothing(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example", "raw.example"))
	came := make(chan []int)
	f.w.host("raw.example", 80, listen(t, func(conn net.Conn) {
		br := bufio.NewReader(conn)
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		r.Body = nil // what follows is read as it is written
		var sizes []int
		for {
			line, err := br.ReadString('\n')
			n, bad := strconv.ParseInt(strings.TrimSpace(line), 16, 64)
			if err != nil || bad != nil || n == 0 {
				break
			}
			sizes = append(sizes, int(n))
			if _, err := br.Discard(int(n) + 2); err != nil {
				break
			}
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		came <- sizes
	}))
	tell := func(guess string) []int {
		conn := dial(t, f.http)
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: raw.example\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunks := httputil.NewChunkedWriter(conn)
		_, _ = io.WriteString(chunks, strings.Repeat("a line of text\n", 200)+guess)
		_, _ = io.WriteString(chunks, "#1 and so on")
		_ = chunks.Close()
		_, _ = io.WriteString(conn, "\r\n")
		return <-came
	}
	for n := 1; n < len(hidden); n++ {
		right, wrong := tell(hidden[:n]), tell(hidden[:n-1]+"~")
		if !slices.Equal(right, wrong) {
			t.Fatalf("%d bytes: a right guess comes as %v, a wrong one as %v", n, right, wrong)
		}
	}
}

// A body that a client gives up, or an origin, while it is decoded ends without
// a word: whoever closes it is not who reads it.
func TestGivenUpWhileDecoding(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"))
	f.serve(f.w, "a.example", func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyN(io.Discard, r.Body, 1000)
		panic(http.ErrAbortHandler)
	})
	var body bytes.Buffer
	z, _ := gzip.NewWriterLevel(&body, gzip.NoCompression)
	_, _ = io.WriteString(z, strings.Repeat("etaoin shrdlu\n", 30_000))
	_ = z.Close()
	by := f.ways["h2"]
	for i := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "POST", by.base+"/", io.MultiReader(bytes.NewReader(body.Bytes()[:10_000+i*5000]), bytes.NewReader(body.Bytes()[10_000+i*5000:])))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Encoding", "gzip")
		time.AfterFunc(time.Duration(i)*time.Millisecond/4, cancel)
		if answer, err := by.client.Do(r); err == nil {
			answer.Body.Close()
		}
		cancel()
	}
}
