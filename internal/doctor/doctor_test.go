package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunBoundsEveryProbe(t *testing.T) {
	let := make(chan struct{})
	defer close(let)
	began := time.Now()
	checks := Run(t.Context(), 50*time.Millisecond, []Probe{
		{Name: "hangs", Look: func(context.Context) []Check { <-let; return nil }},
		{Name: "minds its context", Look: func(ctx context.Context) []Check {
			<-ctx.Done()
			return []Check{{Name: "a", State: Warn}}
		}},
		{Name: "quick", Look: func(context.Context) []Check { return []Check{{Name: "b", State: OK}, {Name: "c", State: OK}} }},
	})
	want := []Check{
		{Name: "hangs", State: Fail, Detail: "no answer within 50ms"},
		{Name: "a", State: Warn},
		{Name: "b", State: OK},
		{Name: "c", State: OK},
	}
	if diff := cmp.Diff(want, checks); diff != "" {
		t.Error(diff)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	if got := Worst(checks); got != Fail {
		t.Errorf("the worst is %s", got)
	}
}

// TestJudgements compares what each judgement says with a file that people
// read: UPDATE_GOLDEN=1 writes it anew.
func TestJudgements(t *testing.T) {
	var b strings.Builder
	for _, c := range judgements() {
		fmt.Fprintf(&b, "== %s\n", c.name)
		for _, check := range c.checks {
			fmt.Fprintf(&b, "%s %s: %s\n", check.State, check.Name, check.Detail)
			for _, note := range check.Notes {
				fmt.Fprintf(&b, "  - %s\n", note)
			}
			if check.Mend != "" {
				fmt.Fprintf(&b, "  mend: %s\n", check.Mend)
			}
		}
	}
	path := filepath.Join("testdata", "judgements.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Error(diff)
	}
}

type judgement struct {
	name   string
	checks []Check
}

func judgements() []judgement {
	one := func(name string, check Check) judgement { return judgement{name, []Check{check}} }
	return append(
		engines(),
		judgement{"images", JudgeImages([]Image{
			{Name: "claude-bottle:latest", For: []string{"a", "b"}, Present: true},
			{Name: "claude-bottle:latest", For: []string{"c"}, Older: true},
			{Name: "claude-bottle:latest"},
			{Name: "corp/agent:7", Override: "CLAUDE_BOTTLE_IMAGE", Present: true},
			{Name: "corp/agent:8", Override: "CLAUDE_BOTTLE_IMAGE"},
		})},
		judgement{"kernel: all there", JudgeKernel(Kernel{
			Release: "6.18.1", Landlock: 7, Seccomp: []string{"kill_process", "errno"}, Namespaces: "96365", Clone: "1", EngineRelease: "6.18.1",
			SourcesAll: "2", SourcesNew: "0", Networked: "runsc",
		})},
		judgement{"kernel: nothing there", JudgeKernel(Kernel{Release: "4.19.0", Namespaces: "0"})},
		judgement{"kernel: the engine in a virtual machine", JudgeKernel(Kernel{Release: "4.19.0", EngineRelease: "6.6.31-linuxkit"})},
		judgement{"kernel: Debian forbids namespaces", JudgeKernel(Kernel{Release: "5.10", Seccomp: []string{"errno"}, Landlock: 1, Namespaces: "9", Clone: "0"})},
		judgement{"native: all there", JudgeNative(Native{
			Bubblewrap: "/usr/bin/bwrap", Limits: []string{"memory", "cpus"}, Agents: []NativeAgent{{Name: "claude", Program: "/usr/bin/claude"}},
		}, true)},
		judgement{"native: no bubblewrap, and docker is there", JudgeNative(Native{
			Problem: "bubblewrap is not installed: there is no bwrap in PATH",
			Hint:    "install the package bubblewrap (`sudo apt-get install bubblewrap`), or use --platform docker",
			Lacks:   []string{"limits memory: it cannot be enforced: no control group can be made in /x: permission denied"},
			Limits:  []string{"cpus"}, Agents: []NativeAgent{{Name: "claude", Package: "@anthropic-ai/claude-code@1"}},
		}, false)},
		judgement{"native: AppArmor has no profile", JudgeNative(Native{
			Problem: "user namespaces are restricted by AppArmor: x is 1, and there is no profile for claude-bottle",
			Hint:    "`claude-bottle doctor` prints one", Bubblewrap: "/usr/bin/bwrap", Limits: []string{"memory", "cpus"},
			ProfileFile: "/etc/apparmor.d/claude-bottle-1000", Profile: "abi <abi/4.0>,\nprofile x /y flags=(unconfined) {\n  userns,\n}\n",
			Agents: []NativeAgent{{Name: "claude", Problem: "no npm", Hint: "install npm (`sudo apt-get install npm`)"}},
		}, true)},
		judgement{"native: AppArmor has one", JudgeNative(Native{
			Bubblewrap: "/usr/bin/bwrap", Limits: []string{"memory", "cpus"}, ProfileFile: "/etc/apparmor.d/claude-bottle-1000", Profile: "x", ProfileThere: true,
		}, true)},
		judgement{"native: AppArmor has not loaded it", JudgeNative(Native{
			Problem: "user namespaces are restricted by AppArmor: x is 1, and the profile /etc/apparmor.d/claude-bottle-1000 is not loaded",
			Hint:    "load it (`sudo apparmor_parser -r /etc/apparmor.d/claude-bottle-1000`), or use --platform docker", Limits: []string{"memory", "cpus"},
			Bubblewrap: "/usr/bin/bwrap", ProfileFile: "/etc/apparmor.d/claude-bottle-1000", Profile: "x", ProfileThere: true,
		}, true)},
		judgement{"kernel: Ubuntu restricts them", JudgeKernel(Kernel{Release: "6.8", Seccomp: []string{"errno"}, Landlock: 4, Namespaces: "9", AppArmor: "1"})},
		judgement{"kernel: takes packets from anywhere", JudgeKernel(Kernel{
			Release: "6.18", Seccomp: []string{"errno"}, Landlock: 7, Namespaces: "9", SourcesAll: "0", SourcesNew: "0", Networked: "runsc",
		})},
		judgement{"kernel: looks where packets come from", JudgeKernel(Kernel{
			Release: "6.18", Seccomp: []string{"errno"}, Landlock: 7, Namespaces: "9", SourcesAll: "0", SourcesNew: "2", Networked: "kata",
		})},
		judgement{"kernel: not Linux", JudgeKernel(Kernel{})},
		one("state: fine", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 1, UID: 1, Writable: true, Mode: 0o700, Free: 9 << 30, Files: 5, FilesCounted: false})),
		one("state: missing", JudgeStateDir(StateDir{Path: "/h/s", Near: "/h", Missing: true, Owner: 0, UID: 1, Writable: true, Mode: 0o777, Free: 9 << 40})),
		one("state: somebody else's", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 2, UID: 1, Writable: true, Free: 9 << 30})),
		one("state: not writable", JudgeStateDir(StateDir{Path: "/h/s", Near: "/h", Missing: true, UID: 1, Free: 9 << 30})),
		one("state: read-only", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 1, UID: 1, ReadOnly: true, Free: 9 << 30})),
		one("state: noexec", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 1, UID: 1, Writable: true, NoExec: true, Free: 9 << 30})),
		one("state: full", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 1, UID: 1, Writable: true, Free: 1 << 20})),
		one("state: nearly full, and open", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 1, UID: 1, Writable: true, Mode: 0o777, Free: 1 << 30})),
		one("state: few files left", JudgeStateDir(StateDir{Path: "/s", Near: "/s", Owner: 1, UID: 1, Writable: true, Mode: 0o700, Free: 9 << 30, Files: 7, FilesCounted: true})),
		one("state: cannot be seen", JudgeStateDir(StateDir{Problem: "stat /s: input/output error"})),
		one("orphans: none", JudgeRuns(Runs{Live: 2, Stopped: 3})),
		one("orphans: some", JudgeRuns(Runs{Orphans: []string{"claude-bottle-a"}})),
		one("orphans: all kinds", JudgeRuns(Runs{
			Orphans: []string{"claude-bottle-a"}, Damaged: []string{"01x"}, Lost: []string{"claude-bottle-b", "claude-bottle-c"}, LostProblem: "no answer",
		})),
		one("orphans: no list", JudgeRuns(Runs{Problem: "permission denied"})),
		judgement{"clocks", clocks()},
		judgement{"manifests", []Check{
			JudgeManifest(Manifest{Missing: true}),
			JudgeManifest(Manifest{Errors: []string{"a.yaml:1:2: unknown key", "a.yaml:3:4: wrong type"}}),
			JudgeManifest(Manifest{Files: []string{"/h/claude-bottle.yaml"}, Agents: []Agent{{Name: "a"}}}),
			JudgeManifest(Manifest{
				Files: []string{"/p/claude-bottle.yaml"}, Untrusted: "/p/claude-bottle.yaml", Warnings: []string{"a: literal"},
				Agents: []Agent{{Name: "a", Problem: "skill x: no directory", Hint: "put it there, or name another"}, {Name: "b"}},
			}),
		}},
		judgement{"harnesses", JudgeHarnesses([]Harness{
			{Name: "claude", Variables: []string{"CLAUDE_BOTTLE_OAUTH_TOKEN", "ANTHROPIC_API_KEY"}, Set: []string{"ANTHROPIC_API_KEY"}},
			{Name: "claude", Variables: []string{"CLAUDE_BOTTLE_OAUTH_TOKEN", "ANTHROPIC_API_KEY"}},
			{Name: "claude", Variables: []string{"CLAUDE_BOTTLE_OAUTH_TOKEN"}, Manifest: true},
			{Name: "claude", Variables: []string{"CLAUDE_BOTTLE_OAUTH_TOKEN"}, Login: "CLAUDE_BOTTLE_OAUTH_TOKEN"},
			{Name: "other"},
		})},
		judgement{"roots", JudgeRoots([]Roots{
			{Path: "/p/ca.pem", Certificates: []Certificate{{"CN=good", noon.AddDate(2, 0, 0)}}},
			{Path: "/p/old.pem", Certificates: []Certificate{{"CN=soon", noon.AddDate(0, 0, 3)}, {"CN=gone", noon.AddDate(0, 0, -3)}}},
			{Path: "/p/soon.pem", Certificates: []Certificate{{"CN=soon", noon.AddDate(0, 0, 3)}}},
			{Path: "/p/bad.pem", Problem: "certificate 1: malformed"},
		}, noon)},
		judgement{"terminals", []Check{
			JudgeTerminal(Terminal{In: true, Out: true, Err: true, Name: "xterm", UTF8: true}),
			JudgeTerminal(Terminal{In: true, Out: true, Name: "dumb"}),
			JudgeTerminal(Terminal{In: true, Out: true, Name: "xterm"}),
			JudgeTerminal(Terminal{In: true}),
		}},
	)
}

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func clocks() []Check {
	yes, no := true, false
	return []Check{
		JudgeClock(Clock{Now: noon}),
		JudgeClock(Clock{Now: noon, Synchronised: &yes, Engine: true, Skew: 40 * time.Millisecond}),
		JudgeClock(Clock{Now: noon, Synchronised: &no, Build: noon.Add(-time.Hour), Run: noon.Add(time.Second)}),
		JudgeClock(Clock{Now: noon, Build: noon.AddDate(0, 0, 2)}),
		JudgeClock(Clock{Now: noon, Run: noon.AddDate(0, 0, 1)}),
		JudgeClock(Clock{Now: noon, Engine: true, Skew: -7 * time.Second}),
		JudgeClock(Clock{Now: noon, Engine: true, Skew: 7 * time.Second, SkewWithin: 3 * time.Second}),
		JudgeClock(Clock{Now: noon, Engine: true, Skew: -3 * time.Hour}),
	}
}
