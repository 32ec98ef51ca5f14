package docker

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/hint"
)

// listen opens a socket that an engine could listen on.
func listen(t *testing.T) (net.Listener, endpoint) {
	t.Helper()
	path := filepath.Join(shortTemp(t), "docker.sock")
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener, endpoint{"unix://" + path, "DOCKER_HOST"}
}

// serve answers every request as an engine of the given API version and
// system would answer a ping.
func serve(t *testing.T, api, system string) endpoint {
	t.Helper()
	listener, endpoint := listen(t)
	server := &http.Server{
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Api-Version", api)
			w.Header().Set("Ostype", system)
		}),
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return endpoint
}

func TestConnectRefuses(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "docker.sock")
	file := filepath.Join(t.TempDir(), "docker.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		endpoint endpoint
		want     string
		hint     string
	}{
		"no engine":          {endpoint{"unix://" + empty, "default"}, "there is no such socket", "start Docker"},
		"nobody listens":     {endpoint{"unix://" + file, "default"}, "does not answer", "start Docker"},
		"too old":            {serve(t, "1.40", "linux"), "speaks API 1.40, at least 1.41", "upgrade to Docker Engine 20.10"},
		"far too old":        {serve(t, "1.24", "linux"), "speaks API 1.24, at least 1.41", "upgrade to Docker Engine 20.10"},
		"windows containers": {serve(t, "1.47", "windows"), "Windows containers", "switch Docker"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := connectTo(t.Context(), c.endpoint)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
			if got := hint.Of(err); !strings.Contains(got, c.hint) {
				t.Errorf("hint %q, want one that says %q", got, c.hint)
			}
		})
	}
}

func TestConnectNegotiates(t *testing.T) {
	for api, want := range map[string]string{"1.41": "1.41", "1.44": "1.44", "9.99": "1.56"} {
		e, err := connectTo(t.Context(), serve(t, api, "linux"))
		if err != nil {
			t.Fatal(err)
		}
		if e.apiVersion != want {
			t.Errorf("an engine of API %s is spoken to in %s, want %s", api, e.apiVersion, want)
		}
		_ = e.Close()
	}
}

// TestHangingEngine: a socket that accepts and never answers.
func TestHangingEngine(t *testing.T) {
	_, endpoint := listen(t)
	start := time.Now()
	_, err := connectTo(t.Context(), endpoint)
	if err == nil || !strings.Contains(err.Error(), "did not answer within 5s") || hint.Of(err) == "" {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
	if took := time.Since(start); took > 2*pingLimit {
		t.Errorf("took %v", took)
	}
}

// TestCancelledConnect: Ctrl-C is not the engine's fault.
func TestCancelledConnect(t *testing.T) {
	_, endpoint := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := connectTo(ctx, endpoint); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want it cancelled", err)
	}
}

func TestPermissionDenied(t *testing.T) {
	err := explainConnect(endpoint{"unix://" + t.TempDir(), "default"}, errors.New("dial unix x: connect: permission denied"))
	if !strings.Contains(err.Error(), "permission denied") || !strings.Contains(hint.Of(err), "usermod -aG docker") {
		t.Errorf("error %v, hint %q", err, hint.Of(err))
	}
}

func TestOlderAPI(t *testing.T) {
	for _, c := range []struct {
		version, than string
		want          bool
	}{{"1.9", "1.41", true}, {"1.41", "1.41", false}, {"1.100", "1.41", false}, {"2.0", "1.41", false}, {"", "1.41", true}} {
		if got := olderAPI(c.version, c.than); got != c.want {
			t.Errorf("%q older than %q: %v", c.version, c.than, got)
		}
	}
}
