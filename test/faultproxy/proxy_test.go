package faultproxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// engine is a server on a unix socket that answers with what it was sent, and
// speaks a stream where it is asked to attach.
func engine(t *testing.T) (host string, handled func() []string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "fp") // short: a socket's path ends at 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "upstream.sock")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	paths := make(chan string, 100)
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths <- r.URL.Path
		if strings.HasSuffix(r.URL.Path, "/attach") {
			echo(t, w)
			return
		}
		if r.URL.Path == "/wait" {
			<-r.Context().Done()
			paths <- "gone"
			return
		}
		_, _ = io.Copy(w, r.Body)
	})}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(listener)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
	})
	return "unix://" + path, func() []string {
		var got []string
		for len(paths) > 0 {
			got = append(got, <-paths)
		}
		return got
	}
}

// echo says what it hears, and "end" when it hears no more.
func echo(t *testing.T, w http.ResponseWriter) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	_, _ = io.Copy(conn, buffered)
	_, _ = io.WriteString(conn, "end")
}

func start(t *testing.T) (*Proxy, *http.Client, func() []string) {
	t.Helper()
	upstream, handled := engine(t)
	p, err := Start(t.Context(), upstream, filepath.Dir(strings.TrimPrefix(upstream, "unix://")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", strings.TrimPrefix(p.Host(), "unix://"))
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return p, &http.Client{Transport: transport, Timeout: 10 * time.Second}, handled
}

func post(client *http.Client, path, body string) (string, error) {
	response, err := client.Post("http://engine"+path, "text/plain", strings.NewReader(body)) //nolint:noctx // has a timeout
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return fmt.Sprint(response.StatusCode, " ", string(text)), err
}

func TestFaults(t *testing.T) {
	p, client, handled := start(t)
	second := func(fault Fault) Rule {
		return Rule{Match: regexp.MustCompile("^POST /b"), N: 2, Fault: fault, Status: 500, Message: "no space"}
	}
	const lost = "lost"
	for name, c := range map[string]struct {
		rule    Rule
		answers []string
		reached []string // the engine
	}{
		"passes":     {Rule{}, []string{"200 1", "200 2", "200 3", "200 4"}, []string{"/a", "/b", "/b", "/b"}},
		"answers":    {second(Answer), []string{"200 1", "200 2", `500 {"message":"no space"}`, "200 4"}, []string{"/a", "/b", "/b"}},
		"cut before": {second(CutBefore), []string{"200 1", "200 2", lost, "200 4"}, []string{"/a", "/b", "/b"}},
		"cut after":  {second(CutAfter), []string{"200 1", "200 2", lost, "200 4"}, []string{"/a", "/b", "/b", "/b"}},
	} {
		t.Run(name, func(t *testing.T) {
			p.Rules(c.rule)
			var answers []string
			for i, path := range []string{"/v1.41/a", "/v1.41/b", "/v1.41/b", "/v1.41/b"} {
				answer, err := post(client, path, fmt.Sprint(i+1))
				if err != nil {
					answer = lost
				}
				answers = append(answers, answer)
			}
			if !slices.Equal(answers, c.answers) {
				t.Errorf("answers %q, want %q", answers, c.answers)
			}
			var reached []string
			for _, path := range handled() {
				reached = append(reached, strings.TrimPrefix(path, "/v1.41"))
			}
			if !slices.Equal(reached, c.reached) {
				t.Errorf("the engine saw %q, want %q", reached, c.reached)
			}
			if seen := p.Seen(); !slices.Equal(seen, []string{"POST /a", "POST /b", "POST /b", "POST /b"}) {
				t.Errorf("seen %q", seen)
			}
		})
	}
}

func TestHoldAndDown(t *testing.T) {
	p, client, handled := start(t)
	p.Rules(Rule{Fault: Hold, Held: func() {
		if got := handled(); len(got) > 0 {
			t.Errorf("the engine saw %q before it was let go", got)
		}
	}})
	if answer, err := post(client, "/held", "x"); answer != "200 x" || p.Hits() != 1 {
		t.Errorf("%q, %v, %d hits", answer, err, p.Hits())
	}
	p.Rules()
	for _, gone := range []bool{false, true} {
		if err := p.Down(gone); err != nil {
			t.Fatal(err)
		}
		if answer, err := post(client, "/down", ""); err == nil {
			t.Errorf("answered %q while it is down", answer)
		}
		if err := p.Again(t.Context()); err != nil {
			t.Fatal(err)
		}
		if answer, err := post(client, "/again", "y"); answer != "200 y" {
			t.Errorf("%q, %v", answer, err)
		}
	}
}

func TestClientGoesAway(t *testing.T) {
	_, client, handled := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/wait", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := client.Do(request); err == nil {
		response.Body.Close()
		t.Error("it was answered")
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	deadline := time.After(10 * time.Second)
	for !slices.Contains(handled(), "gone") {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatal("the engine does not learn of it")
		}
	}
}

func TestStream(t *testing.T) {
	p, _, _ := start(t)
	conn, err := net.Dial("unix", strings.TrimPrefix(p.Host(), "unix://")) //nolint:noctx // answers at once
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "POST /v1.41/containers/x/attach HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	in := bufio.NewReader(conn)
	response, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %s", response.Status)
	}
	_, _ = io.WriteString(conn, "hello ")
	_ = conn.(*net.UnixConn).CloseWrite()
	if text, err := io.ReadAll(in); string(text) != "hello end" {
		t.Errorf("heard %q, %v", text, err)
	}
}
