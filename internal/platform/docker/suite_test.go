package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/moby/moby/client"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/bottle/bottletest"
	"claude-bottle/internal/runs"
	testengine "claude-bottle/test/engine"
)

func TestConformanceRunc(t *testing.T) {
	newBench(t) // skips without an engine
	conformance(t, bottle.Runc, bottletest.DockerRunc)
}

func TestConformanceGvisor(t *testing.T) {
	testengine.NeedGvisor(t)
	conformance(t, bottle.Runsc, bottletest.DockerGvisor)
}

// conformance holds the platform to the contract of all platforms.
func conformance(t *testing.T, isolation bottle.Isolation, place bottletest.Place) {
	api, host := testengine.Need(t)
	var mu sync.Mutex
	owners := map[string]bool{}
	bottletest.Run(t, bottletest.Config{
		New: func(t *testing.T, store *runs.Store, lookup func(string) (string, bool)) bottle.Platform {
			mu.Lock()
			defer mu.Unlock()
			if owner := ownerOf(os.Getuid(), store.Root()); !owners[owner] {
				owners[owner] = true
				removeImages(t, api, store.Root())
			}
			p := New(Config{
				Store: store, Home: t.TempDir(), UID: os.Getuid(), Binary: ourBinary(t),
				Getenv: func(name string) string {
					defaults := map[string]string{"DOCKER_HOST": host, "CLAUDE_BOTTLE_IMAGE": tinyImage}
					if value, ok := lookup(name); ok {
						return value
					}
					return defaults[name]
				},
			})
			t.Cleanup(func() { _ = p.Close() })
			return p
		},
		Spec: func(spec *bottle.Spec) { spec.Isolation = isolation },
		Observe: func(t *testing.T) []string {
			mu.Lock()
			defer mu.Unlock()
			var found []string
			for owner := range owners {
				found = append(found, objectsOf(t, api, owner)...)
			}
			return found
		},
		Inspect: func(t *testing.T, b bottle.Bottle) []byte { return inspectAll(t, api, b) },
		Signal: func(t *testing.T, b bottle.Bottle, part bottletest.Part, signal unix.Signal) {
			id := b.(*instance).made.Agent
			if part == bottletest.Gateway {
				id = b.(*instance).made.Gateway
			}
			if _, err := api.ContainerKill(t.Context(), id, client.ContainerKillOptions{Signal: unix.SignalName(signal)}); err != nil {
				t.Fatal(err)
			}
		},
		Place:    place,
		Writable: []string{"/bin", "/etc", "/home", "/usr"},
		// A client's idle connections end with it, after the check.
		Goroutines: []goleak.Option{
			goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
			goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		},
	})
}

// objectsOf lists what the engine holds of an owner.
func objectsOf(t testing.TB, api *client.Client, owner string) []string {
	t.Helper()
	filters := client.Filters{}.Add("label", labelOwner+"="+owner)
	containers, err := api.ContainerList(context.Background(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	networks, err := api.NetworkList(context.Background(), client.NetworkListOptions{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range containers.Items {
		names = append(names, "container "+c.Names[0])
	}
	for _, n := range networks.Items {
		names = append(names, "network "+n.Name)
	}
	slices.Sort(names)
	return names
}

// inspectAll is everything that the engine tells about a run's objects, and
// about the execs in its containers.
func inspectAll(t *testing.T, api *client.Client, b bottle.Bottle) []byte {
	t.Helper()
	var all bytes.Buffer
	filters := client.Filters{}.Add("label", labelRun+"="+string(b.Run()))
	containers, err := api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range containers.Items {
		inspected, err := api.ContainerInspect(t.Context(), c.ID, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		all.Write(inspected.Raw)
		for _, id := range inspected.Container.ExecIDs {
			exec, err := api.ExecInspect(t.Context(), id, client.ExecInspectOptions{})
			if err == nil {
				_ = json.NewEncoder(&all).Encode(exec)
			}
		}
	}
	networks, err := api.NetworkList(t.Context(), client.NetworkListOptions{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	_ = json.NewEncoder(&all).Encode(networks)
	if all.Len() == 0 {
		t.Fatal("the engine knows nothing of the bottle")
	}
	return all.Bytes()
}
