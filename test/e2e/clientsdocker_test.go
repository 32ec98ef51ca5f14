package e2e_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// clientsRecipe is an image with the clients of clientsScript that are not this
// machine's: Go is mounted, and deno and programs come with the project. cargo
// downloads without the compiler that its package depends on.
const clientsRecipe = `FROM ` + engine.BaseImage + `
RUN apt-get update \
 && apt-get install -y --no-install-recommends curl wget git python3-pip python3-grpcio default-jre-headless \
      $(apt-cache depends cargo | sed -n 's/^  Depends: \(lib[^ ]*\)$/\1/p' | grep -v -e '-dev$' -e rust) \
 && cd /tmp && apt-get download cargo && dpkg-deb -x cargo_*.deb / && rm -rf cargo_*.deb /var/lib/apt/lists/*
`

// TestUnmodifiedClientsInContainers is TestRealClients for containers, on the engine's
// own runtime and on gVisor.
func TestUnmodifiedClientsInContainers(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		need := engine.NeedBase
		if isolation == "runsc" {
			need = engine.NeedGvisor
		}
		api, host := need(t)
		image := clientsImage(t, api)
		o := origins.StartAt(t, bridgeAddress(t, api), bridgeAddress(t, api))
		p := newClientsPerson(t, o, isolation, "isolation: "+isolation+"\nmounts: [GOROOT]")
		p.api = api
		p.env = append(p.env, "DOCKER_HOST="+host, "CLAUDE_BOTTLE_IMAGE="+image)
		p.agent = "carried"
		p.owner = p.readOwner()
		t.Cleanup(p.leavesNothing)
		p.works(t, o, "docker")
	})
}

// clientsImage is that of clientsRecipe, which is built once for each base.
func clientsImage(t *testing.T, api *client.Client) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	base, err := api.ImageInspect(ctx, engine.BaseImage)
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("claude-bottle-test-clients:%x", sha256.Sum256([]byte(base.ID+clientsRecipe)))[:60]
	if _, err := api.ImageInspect(ctx, name); err == nil {
		return name
	}
	buildImage(t, api, name, map[string]string{"Dockerfile": clientsRecipe})
	return name
}

// buildImage has the engine build an image of files, the recipe among them.
func buildImage(t *testing.T, api *client.Client, name string, files map[string]string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	for path, text := range files {
		if err := archive.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(archive, text) // to memory
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	result, err := api.ImageBuild(ctx, &content, client.ImageBuildOptions{Tags: []string{name}, Remove: true, ForceRemove: true})
	if err != nil {
		t.Fatal(err)
	}
	defer result.Body.Close()
	var said strings.Builder
	for decoder := json.NewDecoder(result.Body); ; {
		var message struct{ Stream, Error string }
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			return
		} else if err != nil || message.Error != "" {
			t.Fatalf("%v %s\n%s", err, message.Error, said.String())
		}
		said.WriteString(message.Stream)
	}
}

// bridgeAddress is an address of this machine that containers of every network
// reach and nobody else does: the one that it has on a bridge of the test's.
func bridgeAddress(t *testing.T, api *client.Client) netip.Addr {
	t.Helper()
	made, err := api.NetworkCreate(t.Context(), "claude-bottle-test-"+strings.ToLower(rand.Text()), client.NetworkCreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if _, err := api.NetworkRemove(ctx, made.ID, client.NetworkRemoveOptions{}); err != nil {
			t.Error(err)
		}
	})
	network, err := api.NetworkInspect(t.Context(), made.ID, client.NetworkInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, config := range network.Network.IPAM.Config {
		if config.Gateway.Is4() {
			return config.Gateway
		}
	}
	t.Fatalf("no gateway in %+v", network.Network.IPAM)
	return netip.Addr{}
}
