package engine

import (
	"context"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// Parts is the variable by which `make test` promises parts to the tests, by
// name and separated by commas. A promised part that is missing is a failure,
// another one a skipped test. Where CI is "true" everything is promised.
const Parts = "CLAUDE_BOTTLE_TEST_PARTS"

// The parts.
const (
	PartEngine = "engine" // a Docker engine that answers
	PartGvisor = "gvisor" // that engine has the runtime runsc
	PartBase   = "base"   // that engine has BaseImage
	PartOwn    = "own"    // that engine was started for this one command
	PartTools  = "tools"  // the programs that tests run are there
	PartTime   = "time"   // there is time for tests that take long
)

// Promised says whether a part was promised by name.
func Promised(part string) bool {
	return slices.Contains(strings.Split(os.Getenv(Parts), ","), part)
}

// Missing skips the test, or fails it when part was promised.
func Missing(t testing.TB, part, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" || Promised(part) {
		t.Fatalf("%s was promised and is missing: %s", part, reason)
	}
	t.Skipf("no %s: %s (make test brings it)", part, reason)
}

// Long skips a test that takes long or fetches much, so that `go test ./...`
// alone is what people run before each commit. It runs where time was promised,
// and when -run asks for tests by their names.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("CI") == "true" || Promised(PartTime) || flag.Lookup("test.run").Value.String() != "" {
		return
	}
	t.Skip("takes long (make test runs it, and -run)")
}

// Need returns a client of the engine, and its address as DOCKER_HOST has it.
// The test skips, or fails, without one. It takes long.
func Need(t testing.TB) (api *client.Client, host string) {
	t.Helper()
	Long(t)
	host, err := Find(t.Context())
	if err != nil {
		Missing(t, PartEngine, err.Error())
	}
	api, err = client.New(client.WithHost(host))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { api.Close() })
	return api, host
}

// NeedGvisor is Need of an engine that has runsc registered.
func NeedGvisor(t testing.TB) (api *client.Client, host string) {
	t.Helper()
	api, host = Need(t)
	info, err := api.Info(t.Context(), client.InfoOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := info.Info.Runtimes["runsc"]; !ok {
		Missing(t, PartGvisor, "the engine at "+host+" has no runtime runsc")
	}
	return api, host
}

// NeedBase is Need of an engine that has BaseImage.
func NeedBase(t testing.TB) (api *client.Client, host string) {
	t.Helper()
	api, host = Need(t)
	if _, err := api.ImageInspect(context.Background(), BaseImage); err != nil {
		Missing(t, PartBase, err.Error())
	}
	return api, host
}
