// Package e2e drives the built program as a person does: a real engine, the
// real image of the recipe, the real Claude Code, and a local Messages API
// under the name of the real one.
package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/standin"
)

// shared are what all tests use, each made when the first test asks.
var shared struct {
	dir    string
	binary func() (string, error)
	// searcher searches a bottle from inside.
	searcher func() (string, error)
	server   func() (*standin.Server, error)
}

func TestMain(m *testing.M) {
	// What the tests start hears of a terminal that goes, also when they were
	// started by nohup(1).
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(run(m)) //nolint:forbidigo // this is a main
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "claude-bottle-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	var server *standin.Server
	shared.dir = dir
	shared.binary = sync.OnceValues(func() (string, error) { return build(dir) })
	shared.searcher = sync.OnceValues(func() (string, error) { return buildSearcher(dir) })
	shared.server = sync.OnceValues(func() (*standin.Server, error) {
		server, err = serve()
		return server, err
	})
	code := m.Run()
	if server != nil {
		if err := server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// build makes the program as `make build` does.
func build(dir string) (string, error) {
	binary := filepath.Join(dir, "claude-bottle")
	cmd := exec.Command("go", "run", "claude-bottle/cmd/build", "-o", binary) //nolint:noctx // no test owns it
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return binary, nil
}

// buildSearcher makes a static program.
func buildSearcher(dir string) (string, error) {
	program := filepath.Join(dir, "search")
	cmd := exec.Command("go", "build", "-o", program, "claude-bottle/test/search/cmd/search") //nolint:noctx // no test owns it
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the searcher: %w\n%s", err, out)
	}
	return program, nil
}

func serve() (*standin.Server, error) {
	ctx := context.Background()
	host, err := engine.Find(ctx)
	if err != nil {
		return nil, err
	}
	api, err := client.New(client.WithHost(host))
	if err != nil {
		return nil, err
	}
	defer api.Close()
	return standin.Start(ctx, api, nil)
}
