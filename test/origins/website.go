package origins

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// noTime is no time of a last change.
var noTime time.Time

// website is one to try things with: /hello says hello and which HTTP it was
// asked in, /count how many bytes were posted, /talk is a WebSocket that says
// everything again, and /git/hello.git a repository.
func website(t testing.TB, dir string) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from the web in %s\n", r.Proto)
	})
	mux.HandleFunc("POST /count", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%d bytes\n", n)
	})
	mux.HandleFunc("/talk", talk)
	mux.Handle("/git/", Repository(t, dir))
	return mux
}

// talk says everything again until the client ends it.
func talk(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it was answered
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		if err := conn.Write(r.Context(), kind, append([]byte("again: "), message...)); err != nil {
			return
		}
	}
}

// Repository serves a bare repository below dir as git's own server does, at
// /git/hello.git; it may be pushed to.
func Repository(t testing.TB, dir string) http.Handler {
	t.Helper()
	const script = `set -e
git init -q --bare -b main "$0/hello.git"; git -C "$0/hello.git" config http.receivepack true
git init -q -b main "$0/work"; cd "$0/work"; echo 'hello from git' > hello; git add hello
git -c user.name=x -c user.email=x@registry.test commit -qm first; git push -q "$0/hello.git" main; git --exec-path`
	cmd := exec.CommandContext(t.Context(), "sh", "-c", script, dir)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return whole(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + dir, "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null"},
	})
}

// whole gives h each body with its length: a program behind CGI needs one
// (RFC 3875, 4.1.2), and git's posts above http.postBuffer have none.
func whole(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength < 0 {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
			if err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			r.Body, r.ContentLength, r.TransferEncoding = io.NopCloser(bytes.NewReader(body)), int64(len(body)), nil
		}
		h.ServeHTTP(w, r)
	})
}
