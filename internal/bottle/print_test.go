package bottle

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/preset"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with testdata/name.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-update writes it anew):\n%s", path, diff)
	}
}

const canary = "canary-value-7c1f"

func dockerPlan() Plan {
	return Plan{
		Run: "0abc", Dir: "/home/me/.local/state/claude-bottle/runs/0abc",
		Name: "claude-bottle-reviewer-2", Platform: "docker", Why: "the engine answers",
		Spec: Spec{
			Agent: "reviewer", Slug: "reviewer", Bottle: "work", Harness: "claude",
			Argv: []string{"claude", "--dangerously-skip-permissions", "-p", "Say \"hi\"\nnow"},
			Env: []environ.Entry{
				{Name: "NODE_ENV", Kind: environ.Literal, Value: canary},
				{Name: "NPM_TOKEN", Kind: environ.Ask, Source: "npm token"},
				{Name: "CLAUDE_CODE_OAUTH_TOKEN", Kind: environ.Host, Source: "CLAUDE_BOTTLE_OAUTH_TOKEN"},
			},
			PromptLength: 21, PromptLine: "You review Go code.",
			Skills: []string{"code-review", "go"},
			Egress: policy.Egress{
				Allow: []policy.Allow{
					{Host: "api.example.net", Source: "bottle work"},
					{Host: "*.example.com", Source: "bottle work"},
					{Host: "github.com", Source: "bottle work"},
					{Host: "api.anthropic.com", Source: "harness claude"},
					{Host: "claude.ai", Source: "harness claude"},
				},
				Private: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
				Resolve: map[string]netip.Addr{"db.example.com": netip.MustParseAddr("10.20.0.9")},
				Roots:   canary,
				Proxy:   "http://me:" + canary + "@proxy.corp:3128",
			},
			Limits:    Limits{Memory: 4 << 30, CPUs: 1.5, PIDs: 4096, Disk: 20 << 30},
			Isolation: Auto,
			Cwd:       "/home/me/src/project", Home: DefaultHome, Workspace: Workspace,
			UID: 1000, GID: 1000,
			Files: []provision.File{
				{Root: provision.Home, Path: promptFile, Mode: 0o600, Data: []byte(canary)},
			},
			Trees:    []provision.Tree{{Root: provision.Home, Path: ".claude/skills/go", Source: "/home/me/.claude/skills/go"}},
			Manifest: "d0d0", Warnings: []string{"env: the secret NPM_TOKEN is readable inside the bottle"},
		},
		Warnings: []string{"limits: disk is measured, not enforced"},
		Docker: &DockerPlan{
			Endpoint: "unix:///var/run/docker.sock", Version: "20.10.24", APIVersion: "1.41",
			Image: "claude-bottle:latest", Build: true, RuntimeImage: "claude-bottle:latest", Runtime: "runsc",
			Network: "claude-bottle-reviewer-2.network", EgressNetwork: "claude-bottle-egress",
			Subnet:         netip.MustParsePrefix("10.201.0.0/28"),
			GatewayAddress: netip.MustParseAddr("10.201.0.2"), BottleAddress: netip.MustParseAddr("10.201.0.3"),
			Ports: wire.StandardPorts,
		},
	}
}

// barePlan has nothing that can be left out, on a platform without images.
func barePlan() Plan {
	return Plan{
		Dir: "/s/runs/1", Name: "claude-bottle-shell", Platform: "native",
		Spec: Spec{
			Agent: "shell", Bottle: "empty", Harness: "command", Argv: []string{"bash", "-l"},
			Home: DefaultHome, Workspace: Workspace, UID: 1000, GID: 1000, RemoteControl: true,
		},
	}
}

// rulesPlan has all that an egress can say beside its allowlist, with the
// warnings that come of it.
func rulesPlan() Plan {
	plan := barePlan()
	presets := preset.Table{
		"npm":    {{Host: "npm.mirror.example", Port: 4873, Open: true}, {Host: "scoped.mirror.example", Port: 443, Open: true}},
		"debian": {{Host: "deb.mirror.example", Port: 80}},
	}
	from := manifest.Bottle{Name: "empty"}
	from.Egress.Presets = []string{"npm", "debian"}
	rules, err := presetRules(from, presets)
	if err != nil {
		panic(err)
	}
	plan.Spec.Egress = policy.Egress{
		Allow: []policy.Allow{{Host: "*.pages.dev", Source: "bottle empty"}},
		Rules: append([]policy.Rule{
			{Host: "api.github.com", Methods: []string{"GET"}, Paths: []string{"/repos/acme/**"}, Inspect: "auto", Source: "bottle empty"},
			{Host: "github.com", Port: 443, Methods: []string{"POST"}, Budget: 10_000_000, Source: "bottle empty"},
			{Host: "uploads.example.com", Deny: true, Source: "bottle empty"},
			{Host: "db.example.com", Port: 5432, TCP: true, Budget: 1 << 20, Source: "bottle empty"},
			{Host: "bulk.example.com", Inspect: "never", Source: "bottle empty"},
		}, rules...),
		Inspect: "auto", Unlisted: "ask", Budget: 200_000_000,
	}
	plan.Spec.Warnings = append(specWarnings(nil, plan.Spec.Egress), presetWarnings(from.Egress.Presets, presets, "")...)
	return plan
}

func TestPrint(t *testing.T) {
	derived := dockerPlan()
	derived.Docker.Derived, derived.Docker.Runtime, derived.Docker.Build = "claude-bottle:cwd-reviewer", "runc", false
	pipelock := dockerPlan()
	pipelock.Spec.Egress.Proxy = ""
	pipelock.Docker.Pipelock = &PipelockPlan{Image: "corp/pipelock:2"}
	hostile := dockerPlan()
	hostile.Spec.Agent = "re\x1b[2Jviewer"
	hostile.Spec.PromptLine = "\u202eevil\x9b\xff\r\x07"
	hostile.Spec.Cwd = "/home/me/a\nenv (names only): none"
	hostile.Spec.Warnings = []string{"a\x1b]52;c;AAAA\x07b"}
	for name, plan := range map[string]Plan{
		"docker": dockerPlan(), "bare": barePlan(), "derived": derived, "hostile": hostile, "rules": rulesPlan(), "pipelock": pipelock,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := plan.Print(&out); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(out.String(), canary) {
				t.Errorf("a value is printed:\n%s", out.String())
			}
			for _, c := range out.String() {
				if c < ' ' && c != '\n' || c >= 0x7f && c < 0xa0 || c == '\u202e' {
					t.Errorf("%q is printed as it is", c)
				}
			}
			golden(t, "print-"+name+".txt", out.Bytes())
		})
	}
}

// A runtime that is neither runc nor gVisor's is the engine's own, and the plan
// says which.
func TestPrintNamesTheRuntime(t *testing.T) {
	for runtime, want := range map[string]string{
		"runsc": "runsc (gVisor)", "runc": "runc (default)", "crun": "crun (the engine's default)",
	} {
		plan := dockerPlan()
		plan.Docker.Runtime = runtime
		if got := printed(t, plan); !strings.Contains(got, "\ndocker runtime : "+want+"\n") {
			t.Errorf("%s: want %q in\n%s", runtime, want, got)
		}
	}
}

// What holds the limits stands below them, whatever else a native plan says.
func TestPrintSaysWhatHoldsLimits(t *testing.T) {
	plan := barePlan()
	plan.Spec.Limits = Limits{Memory: 1 << 30}
	plan.Native = &NativePlan{
		Install: &NativeInstall{Package: "agent@1", Dir: "/s/agents/agent/1"},
		Groups:  []NativeGroup{{Parent: "/sys/fs/cgroup/a"}},
	}
	want := "limits         : memory 1GiB\n  held by      : a control group in /sys/fs/cgroup/a\ninstall        : "
	if got := printed(t, plan); !strings.Contains(got, want) {
		t.Errorf("want %q in\n%s", want, got)
	}
}

func printed(t *testing.T, plan Plan) string {
	t.Helper()
	var out strings.Builder
	if err := plan.Print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEgressSummary(t *testing.T) {
	for count, want := range map[int]string{
		0: "0 hosts allowed",
		1: "1 hosts allowed (a)",
		3: "3 hosts allowed (a, b, c)",
		4: "4 hosts allowed (a, b, c, +1 more)",
		9: "9 hosts allowed (a, b, c, +6 more)",
	} {
		var egress policy.Egress
		for i := range count {
			egress.Allow = append(egress.Allow, policy.Allow{Host: string(rune('a' + i))})
		}
		if got := egressSummary(egress); got != want {
			t.Errorf("%d hosts: %q, want %q", count, got, want)
		}
	}
}

func TestPlanSurvivesSerialisation(t *testing.T) {
	for _, plan := range []Plan{dockerPlan(), barePlan()} {
		data, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(data, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(plan, back, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
			t.Errorf("%s changed on its way through JSON:\n%s", plan.Name, diff)
		}
	}
}

func TestRedactedShowsNoValue(t *testing.T) {
	plan := dockerPlan()
	data, err := json.MarshalIndent(plan.Redacted(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(canary)) || bytes.Contains(data, []byte("Y2FuYXJ5")) {
		t.Errorf("a value is in the JSON:\n%s", data)
	}
	readable := barePlan()
	readable.Spec = plan.Spec
	data, err = json.MarshalIndent(readable.Redacted(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", append(data, '\n'))
	if diff := cmp.Diff(dockerPlan(), plan, cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Errorf("redacting changed the plan itself:\n%s", diff)
	}
}
