package e2e_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/test/messagesapi"
)

// The real agent works with a token that it never holds, and with every scan
// on, which finds nothing in what it says: the server gets the real one, and neither the bottle's environment and files, nor the memory of
// any process but the launcher and the gateway, nor anything that is kept of
// the run has it.
func TestBrokeredAgent(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, guarded, "prompt: You hold nothing in "+isolation+".")
		brokeredAgent(t, p, p.agent, "docker")
	})
	t.Run("native", func(t *testing.T) { brokeredAgent(t, newNativePerson(t), "guarded", "native") })
}

// guarded has all that leaves scanned, strictly.
const guarded = "scan: {mode: block, canary: true}"

func brokeredAgent(t *testing.T, p *person, agent, platform string) {
	secret := "sk-ant-oat01-" + rand.Text() + rand.Text() + rand.Text() + "-AAAA"
	p.env = append(p.withoutTokens(), "CLAUDE_BOTTLE_OAUTH_TOKEN="+secret)
	before := len(p.server.Requests()) // of other tests, on one server
	got := p.agentSearched(t, agent, platform, []string{secret}, secret)
	for _, r := range p.server.Requests()[before:] {
		if credential := r.Bearer + r.Key; credential != "" && credential != secret {
			t.Errorf("%s %s came with %q", r.Method, r.Path, r.Bearer)
		}
	}
	if strings.Contains(got.stderr, "readable inside") || !strings.Contains(got.stderr, "CLAUDE_CODE_OAUTH_TOKEN -> api.anthropic.com") {
		t.Errorf("the plan:\n%s", got.stderr)
	}
	if !slices.ContainsFunc(p.lastRecord(), func(e audit.Event) bool { return e.Secrets == "CLAUDE_CODE_OAUTH_TOKEN" && e.Path == "/v1/messages" }) {
		t.Error("the record does not say that the token was used")
	}
	for _, e := range p.lastRecord() {
		if e.Kind == audit.Found || e.Rule == "scan" || e.Rule == "decoy" {
			t.Errorf("the scan found %s %s%s: %s", e.Method, e.Host, e.Path, e.Reason)
		}
	}
}

// withoutTokens is the person's environment but for the agent's credentials.
func (p *person) withoutTokens() []string {
	return slices.DeleteFunc(slices.Clone(p.env), func(v string) bool { return strings.Contains(v, "TOKEN") })
}

// agentSearched has the real agent search its bottle, and the host searched once
// the agent runs with all that it gets: its server has seen the bearer.
func (p *person) agentSearched(t *testing.T, agent, platform string, secrets []string, bearer string) result {
	t.Helper()
	cmd := p.command("start", agent, "--platform", platform, "--cwd", "--yes", "--prompt", "run "+strings.TrimSpace(p.searching(t, secrets)))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	asked := func() bool {
		return slices.ContainsFunc(p.server.Requests(), func(r messagesapi.Request) bool { return r.Bearer == bearer })
	}
	awaits(t, "the agent's request with the real token", asked, ended, &stderr)
	p.searchAround(t, secrets, cmd.Process.Pid)
	if err := os.WriteFile(filepath.Join(p.lastRun(), "work", "proceed"), nil, 0o644); err != nil { //nolint:gosec // G306: the agent's
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Fatalf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	p.foundInside(t, secrets, strings.TrimPrefix(stdout.String(), "The tool says: "))
	p.foundAfter(t, secrets, stdout.String()+stderr.String())
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// awaits polls until is says yes, or the command ends.
func awaits(t *testing.T, what string, is func() bool, ended chan error, said fmt.Stringer) {
	t.Helper()
	for poll := time.NewTicker(20 * time.Millisecond); !is(); {
		select {
		case err := <-ended:
			t.Fatalf("it ended (%v) before %s:\n%s", err, what, said)
		case <-poll.C:
		}
	}
}

// lastRun is the directory of the person's youngest run.
func (p *person) lastRun() string {
	p.t.Helper()
	paths, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*"))
	if err != nil || len(paths) == 0 {
		p.t.Fatalf("no run: %v", err)
	}
	return slices.MaxFunc(paths, func(a, b string) int {
		first, _ := os.Stat(a)
		second, _ := os.Stat(b)
		return first.ModTime().Compare(second.ModTime())
	})
}

// lastRecord is that of the person's youngest run.
func (p *person) lastRecord() []audit.Event {
	p.t.Helper()
	var events []audit.Event
	path := filepath.Join(p.lastRun(), "record", "egress.jsonl")
	if _, err := audit.Read(path, func(e audit.Event) error { events = append(events, e); return nil }); err != nil {
		p.t.Fatal(err)
	}
	return events
}

// holdsSecrets says whether a process is a gateway, whose place secrets are, the
// engine's that carries the gateway's standard input to it, or the tests of
// another package, some of which read what every process was started with
// (package hoststate).
func holdsSecrets(dir string) bool {
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.Split(string(line), "\x00")
	tests := strings.HasSuffix(words[0], ".test")
	return tests || slices.Contains(words, "gateway") || slices.Contains(words, "supervise") || strings.HasPrefix(filepath.Base(words[0]), "containerd-shim")
}

// startedAt is when a process began, in ticks since the machine did; 0 for none.
func startedAt(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return 0
	}
	ticks, _ := strconv.Atoi(fields[19])
	return ticks
}
