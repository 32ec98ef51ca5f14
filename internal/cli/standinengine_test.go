//go:build linux

package cli_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// standinEngine serves at $DOCKER_HOST what cannot be had of a real engine: one
// that speaks an old API, or one whose containers have every name that an agent
// may get: engine API [NAME]. What it is not asked for by a launch that is
// refused, it does not know.
func standinEngine(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: engine API [NAME]")
	}
	api, containers := args[0], "[]"
	if len(args) == 2 {
		names := []string{fmt.Sprintf(`{"Names": ["/%s"]}`, args[1])}
		for n := 2; n <= 99; n++ {
			names = append(names, fmt.Sprintf(`{"Names": ["/%s-%d"]}`, args[1], n))
		}
		containers = "[" + strings.Join(names, ",") + "]"
	}
	answers := map[string]string{
		"GET /info":            `{"ServerVersion": "20.10.24", "OSType": "linux", "MemoryLimit": true, "CpuCfsQuota": true, "PidsLimit": true, "Runtimes": {"runc": {}}, "DefaultRuntime": "runc"}`,
		"GET /containers/json": containers,
		"GET /networks":        "[]",
		"GET /images/json":     "[]",
	}
	socket := filepath.Join(ts.Getenv("WORK"), "engine-"+api+".sock")
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", socket)
	ts.Check(err)
	version := regexp.MustCompile(`^/v[0-9.]+`)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // a test's, on a unix socket
		w.Header().Set("Api-Version", api)
		w.Header().Set("Ostype", "linux")
		w.Header().Set("Content-Type", "application/json")
		path := version.ReplaceAllString(r.URL.Path, "")
		answer, known := answers[r.Method+" "+path]
		if !known && path != "/_ping" {
			w.WriteHeader(http.StatusNotFound)
			answer = `{"message": "no such image"}`
		}
		_, _ = w.Write([]byte(answer)) // the client may have gone
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(listener)
	}()
	ts.Defer(func() {
		_ = server.Close()
		<-done
	})
	ts.Setenv("DOCKER_HOST", "unix://"+socket)
}
