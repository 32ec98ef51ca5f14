package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
	testengine "claude-bottle/test/engine"
)

// tinyImage is an image of a shell and nothing else, for tests that are not
// about the image.
const tinyImage = "claude-bottle-test-tiny:3"

// bench is a real engine with a store of its own.
type bench struct {
	api   *client.Client
	host  string
	store *runs.Store
	env   map[string]string
}

func newBench(t testing.TB) *bench {
	t.Helper()
	api, host := testengine.Need(t)
	makeTiny(t, api)
	root := t.TempDir()
	if err := os.Chmod(root, 0o711); err != nil {
		t.Fatal(err)
	}
	store, err := runs.Open(filepath.Join(root, "state"))
	if err != nil {
		t.Fatal(err)
	}
	removeImages(t, api, store.Root())
	return &bench{api: api, host: host, store: store, env: map[string]string{
		"DOCKER_HOST": host, "CLAUDE_BOTTLE_IMAGE": tinyImage,
	}}
}

// removeImages removes the gateway image of a store when the test has ended.
func removeImages(t testing.TB, api *client.Client, root string) {
	t.Cleanup(func() {
		filters := client.Filters{}.Add("label", labelOwner+"="+ownerOf(os.Getuid(), root), labelBinary)
		images, err := api.ImageList(context.Background(), client.ImageListOptions{Filters: filters})
		if err != nil {
			t.Error(err)
		}
		for _, image := range images.Items {
			_, err := api.ImageRemove(context.Background(), image.ID, client.ImageRemoveOptions{Force: true, PruneChildren: true})
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func (b *bench) platform(t testing.TB) *Platform {
	t.Helper()
	p := New(Config{
		Store: b.store, Getenv: func(name string) string { return b.env[name] }, Home: t.TempDir(),
		UID: os.Getuid(), Binary: ourBinary(t),
	})
	t.Cleanup(func() { _ = p.Close() })
	return p
}

// spec is an agent that is a shell.
func (b *bench) spec() bottle.Spec {
	uid, gid := bottle.Person(os.Getuid(), os.Getgid(), func(string) (string, bool) { return "", false })
	return bottle.Spec{
		Agent: "Engine Test", Slug: "engine-test", Bottle: "test", Harness: "command", Argv: []string{"sh"},
		Isolation: bottle.Auto, Home: bottle.DefaultHome, Workspace: bottle.Workspace,
		UID: uid, GID: gid, Manifest: strings.Repeat("0", 64),
	}
}

func (b *bench) launch(t testing.TB, spec bottle.Spec) *instance {
	t.Helper()
	p := b.platform(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	plan, err := p.Prepare(ctx, spec)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	launched, err := p.Launch(ctx, plan, environ.Secrets{})
	if err != nil {
		t.Fatalf("launch: %v", err)
	}
	t.Cleanup(func() {
		if err := launched.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return launched.(*instance)
}

// sh runs a shell command inside and returns what it printed.
func sh(t testing.TB, b bottle.Bottle, script string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exit, err := b.Exec(ctx, wire.Start{Argv: []string{"sh", "-c", script}},
		wire.Streams{Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		t.Fatalf("run %q: %v", script, err)
	}
	if exit.Code != 0 {
		t.Fatalf("run %q: code %d %s: %s%s", script, exit.Code, exit.Message, stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stdout.String())
}

// objects lists what the engine holds of a store's bottles.
func (b *bench) objects(t testing.TB) []string {
	t.Helper()
	return objectsOf(t, b.api, ownerOf(os.Getuid(), b.store.Root()))
}

// nothingLeft checks at the end of a test.
func (b *bench) nothingLeft(t testing.TB) {
	t.Helper()
	t.Cleanup(func() {
		if left := b.objects(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// makeTiny imports a busybox and a link for each program that tests call.
func makeTiny(t testing.TB, api *client.Client) {
	t.Helper()
	if _, err := api.ImageInspect(t.Context(), tinyImage); err == nil {
		return
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		testengine.Missing(t, testengine.PartEngine, "busybox (apt-get install busybox-static)")
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"bin/", "etc/", "home/", "tmp/", "usr/"} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}))
	}
	err = errors.Join(err, tarFile(w, "bin/busybox", data, 0o755))
	applets, listed := exec.CommandContext(t.Context(), busybox, "--list").Output()
	err = errors.Join(err, listed)
	for _, name := range strings.Fields(string(applets)) {
		if name == "busybox" || name == "nohup" {
			continue
		}
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}))
	}
	// Debian's busybox has no nohup.
	nohup := []byte("#!/bin/sh\ntrap '' HUP\nexec \"$@\"\n")
	if err = errors.Join(err, tarFile(w, "bin/nohup", nohup, 0o755), w.Close()); err != nil {
		t.Fatal(err)
	}
	e, err := connectTo(t.Context(), endpoint{Host: api.DaemonHost()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if _, err := e.importImage(t.Context(), &layer, tinyImage, []string{"ENV PATH=/bin"}); err != nil {
		t.Fatal(err)
	}
}

// ourBinary builds the program that becomes guest and gateway, once.
func ourBinary(t testing.TB) string {
	t.Helper()
	path, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// binaryVariable names the program under test to the processes that a test starts
// of its own binary: a launcher that is to be killed need not build it anew.
const binaryVariable = "CLAUDE_BOTTLE_TEST_BINARY"

var builtBinary = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(binaryVariable); path != "" {
		return path, nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	tree, err := os.Getwd()
	if err != nil {
		return "", err
	}
	// One for each working tree: tests of two may run at once.
	path := filepath.Join(dir, "claude-bottle-test", fmt.Sprintf("claude-bottle-%08x", hash(tree)))
	build := exec.Command("go", "build", "-o", path, "claude-bottle/cmd/part")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", errors.Join(err, errors.New(string(out)))
	}
	return path, os.Setenv(binaryVariable, path)
})
