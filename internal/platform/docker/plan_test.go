package docker

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

var update = flag.Bool("update", false, "write the golden files anew")

func planSpec() bottle.Spec {
	return bottle.Spec{
		Agent: "Reviewer", Slug: "reviewer", Bottle: "work", Harness: "claude", Argv: []string{"claude"},
		Isolation: bottle.Auto, Home: bottle.DefaultHome, Workspace: bottle.Workspace, UID: 1000, GID: 1000,
		Manifest: "abc",
	}
}

func planObserved() observed {
	settings := settings{}
	return observed{
		Endpoint: endpoint{"unix:///var/run/docker.sock", "default"}, Version: "20.10.24", APIVersion: "1.41",
		Run: "mwtlvh31argt7", Dir: "/state/runs/mwtlvh31argt7", Owner: "0123456789abcdef",
		Settings: settings, Recipe: recipeOf(settings, bottle.DefaultHome, ""),
		Image: "sha256:1111", Names: map[string]bool{},
		Runtimes: map[string][]string{"runc": nil}, DefaultRuntime: "runc", IPv6: true,
		EngineNetworks: []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")},
		HostNetworks:   []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
}

// anotherRuntime is the engine's default, of which nobody knows whether it
// passes sockets on.
func anotherRuntime(seen *observed) {
	seen.DefaultRuntime, seen.Runtimes["kata"] = "kata", nil
}

// planCases are what a plan depends on, one thing at a time.
var planCases = map[string]func(*bottle.Spec, *observed){
	"default":           func(*bottle.Spec, *observed) {},
	"another-runtime":   func(_ *bottle.Spec, seen *observed) { anotherRuntime(seen) },
	"sources-unchecked": func(_ *bottle.Spec, seen *observed) { seen.Unchecked = true },
	"sources-unchecked-another-runtime": func(_ *bottle.Spec, seen *observed) {
		anotherRuntime(seen)
		seen.Unchecked = true
	},
	"build": func(_ *bottle.Spec, seen *observed) {
		seen.Image = ""
		seen.Settings.Base, seen.Settings.Claude = "corp/node:22", "9.9.9"
		seen.Recipe = recipeOf(seen.Settings, bottle.DefaultHome, "")
	},
	"pipelock": func(spec *bottle.Spec, seen *observed) { asksForPipelock(spec, seen) },
	"pipelock-gvisor": func(spec *bottle.Spec, seen *observed) {
		asksForPipelock(spec, seen)
		seen.Runtimes["runsc"] = nil
		seen.Settings.Pipelock, seen.Settings.PipelockPort = "corp/pipelock:2", "9999"
		spec.Egress.Private = []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")}
	},
	"own-image": func(_ *bottle.Spec, seen *observed) { seen.Settings.Image = "corp/agent:7" },
	"bare": func(spec *bottle.Spec, seen *observed) {
		spec.Bare, seen.Image, seen.Settings.Image = true, "", "corp/agent:7"
	},
	"derived": func(spec *bottle.Spec, seen *observed) {
		spec.Cwd, seen.Settings.Derived = "/src/project", "claude-bottle:cwd-mine"
	},
	"derived-without-directory": func(_ *bottle.Spec, seen *observed) {
		seen.Settings.Derived = "claude-bottle:cwd-mine"
	},
	"pinned": func(_ *bottle.Spec, seen *observed) { seen.Settings.Name = "mine" },
	"names-taken": func(_ *bottle.Spec, seen *observed) {
		seen.Names = map[string]bool{
			"claude-bottle-reviewer": true, "claude-bottle-reviewer-2.gateway": true,
			"claude-bottle-reviewer-3.network": true,
		}
	},
	"gvisor": func(_ *bottle.Spec, seen *observed) {
		seen.Runtimes["runsc"] = []string{"--ignore-cgroups"}
	},
	"runc-beside-gvisor": func(spec *bottle.Spec, seen *observed) {
		seen.Runtimes["runsc"] = nil
		spec.Isolation = bottle.Runc
		spec.Limits = bottle.Limits{Memory: 4 << 30, CPUs: 2, PIDs: 100, Disk: 20 << 30}
	},
	"all-private-ranges-routed": func(_ *bottle.Spec, seen *observed) {
		anotherRuntime(seen)
		seen.HostNetworks = []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
		}
	},
	"first-pool-in-use": func(_ *bottle.Spec, seen *observed) {
		anotherRuntime(seen)
		seen.EngineNetworks = append(seen.EngineNetworks, netip.MustParsePrefix("10.213.0.0/16"))
		seen.HostNetworks = append(seen.HostNetworks, netip.MustParsePrefix("10.64.0.0/10"))
	},
}

func TestPlan(t *testing.T) {
	for name, change := range planCases {
		t.Run(name, func(t *testing.T) {
			spec, seen := planSpec(), planObserved()
			change(&spec, &seen)
			got, err := plan(spec, seen)
			if err != nil {
				t.Fatal(err)
			}
			if got.Docker.Recipe != "" {
				got.Docker.Recipe = "(the recipe's hash)"
			}
			text, err := json.MarshalIndent(struct {
				Name     string             `json:"name"`
				Warnings []string           `json:"warnings"`
				Docker   *bottle.DockerPlan `json:"docker"`
			}{got.Name, got.Warnings, got.Docker}, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".json", string(text)+"\n")
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (run with -update to accept):\n%s", path, diff)
	}
}

func TestPlanRefuses(t *testing.T) {
	cases := map[string]struct {
		change func(*bottle.Spec, *observed)
		want   string // in the error
		hint   string // in the hint
	}{
		"pinned name taken": {
			func(_ *bottle.Spec, seen *observed) { seen.Settings.Name, seen.Names["mine"] = "mine", true },
			"container mine already exists", "docker rm -f mine",
		},
		"all names taken": {
			func(_ *bottle.Spec, seen *observed) {
				for n := range platform.LastSuffix {
					seen.Names[platform.BottleName("reviewer", n+1)] = true
				}
			},
			"claude-bottle-reviewer to claude-bottle-reviewer-99 are all taken", "cleanup",
		},
		"own image missing": {
			func(_ *bottle.Spec, seen *observed) { seen.Settings.Image, seen.Image = "corp/agent:7", "" },
			"image corp/agent:7 (CLAUDE_BOTTLE_IMAGE) is not in the engine", "pull it",
		},
		"runsc asked for and missing": {
			func(spec *bottle.Spec, _ *observed) { spec.Isolation = bottle.Runsc },
			"isolation runsc", "isolation: auto",
		},
		"memory limit that runsc ignores": {
			func(spec *bottle.Spec, seen *observed) {
				seen.Runtimes["runsc"], spec.Limits.Memory = []string{"--ignore-cgroups=true"}, 1<<30
			},
			"limits memory: runtime runsc", "isolation: runc",
		},
		"pids limit that the kernel lacks": {
			func(spec *bottle.Spec, seen *observed) { seen.Lacks, spec.Limits.PIDs = []string{"pids"}, 5 },
			"limits pids", "take the limit out",
		},
		"rootless engine": {
			func(_ *bottle.Spec, seen *observed) {
				seen.Security = []string{"name=seccomp,profile=default", "name=rootless"}
			},
			"runs rootless", "DOCKER_HOST",
		},
		"engine that remaps users": {
			func(_ *bottle.Spec, seen *observed) { seen.Security = []string{"name=userns"} },
			"remaps user ids", "userns-remap",
		},
		"toolchains": {func(spec *bottle.Spec, _ *observed) { spec.Toolchains = true }, "toolchains auto", "--platform native"},
		"nested":     {func(spec *bottle.Spec, _ *observed) { spec.Nested = true }, "nested", "--platform native"},
		"no subnet free": {
			func(_ *bottle.Spec, seen *observed) { anotherRuntime(seen); seen.EngineNetworks = pools },
			"no free /29", "docker network prune",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			spec, seen := planSpec(), planObserved()
			c.change(&spec, &seen)
			_, err := plan(spec, seen)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one that says %q", err, c.want)
			}
			if got := hint.Of(err); !strings.Contains(got, c.hint) {
				t.Errorf("hint %q, want one that says %q", got, c.hint)
			}
		})
	}
}

// TestSubnetsForManyBottles: each launch sees the networks of those before it.
func TestSubnetsForManyBottles(t *testing.T) {
	seen := planObserved()
	for n := range 200 {
		seen.Run = seen.Run[:8] + "aaaaa" // the same beginning of the search for all
		subnet, err := chooseSubnet(string(seen.Run), bottleBits, seen.EngineNetworks, seen.HostNetworks)
		if err != nil {
			t.Fatalf("bottle %d: %v", n, err)
		}
		for _, other := range seen.EngineNetworks {
			if other.Overlaps(subnet) {
				t.Fatalf("bottle %d: %s overlaps %s", n, subnet, other)
			}
		}
		a := addressingOf(subnet)
		for _, address := range []netip.Addr{a.Engine, a.Gateway, a.Agent} {
			if !subnet.Contains(address) {
				t.Fatalf("%s is not in %s", address, subnet)
			}
		}
		seen.EngineNetworks = append(seen.EngineNetworks, subnet)
	}
}

func TestRecipeHash(t *testing.T) {
	base := recipeOf(settings{}, bottle.DefaultHome, "")
	if base.Base != defaultBase || base.Claude != harness.ClaudePackage("").Version {
		t.Errorf("default recipe: %+v", base)
	}
	seen := map[string]string{base.Hash(): "the default"}
	for what, changed := range map[string]recipe{
		"another base":    recipeOf(settings{Base: "x"}, bottle.DefaultHome, ""),
		"another claude":  recipeOf(settings{Claude: "x"}, bottle.DefaultHome, ""),
		"another home":    recipeOf(settings{}, "/home/me", ""),
		"an extra root":   recipeOf(settings{}, bottle.DefaultHome, "x"),
		"another default": {Base: base.Base + "x", Claude: base.Claude, Home: base.Home},
	} {
		if other, clash := seen[changed.Hash()]; clash && changed != base {
			t.Errorf("%s has the hash of %s", what, other)
		}
		seen[changed.Hash()] = what
	}
	if again := recipeOf(settings{}, bottle.DefaultHome, ""); again.Hash() != base.Hash() {
		t.Error("the hash of one recipe changes")
	}
}

func TestNames(t *testing.T) {
	taken := map[string]bool{}
	for n := 1; n <= platform.LastSuffix; n++ {
		want := "claude-bottle-x"
		if n > 1 {
			want = fmt.Sprintf("claude-bottle-x-%d", n)
		}
		if got, err := freeName("x", taken); got != want || err != nil {
			t.Fatalf("name %d: %s, %v, want %s", n, got, err, want)
		}
		taken[want] = true
	}
	if got, err := freeName("x", taken); err == nil {
		t.Errorf("a name after the last: %s", got)
	}
	// An agent called like another's gateway gets names of its own.
	gateway, agent := namesOf(platform.BottleName("x", 1)).Gateway, platform.BottleName("x-gateway", 1)
	if gateway == agent {
		t.Errorf("%s is both a gateway and an agent", agent)
	}
}

func TestRoutes(t *testing.T) {
	table := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n" +
		"tun0\t0000D50A\t00000000\t0001\t0\t0\t0\t00F0FFFF\t0\t0\t0\n" +
		"broken\tline\n"
	want := []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16"), netip.MustParsePrefix("10.213.0.0/20")}
	if diff := cmp.Diff(want, routes(table), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}
