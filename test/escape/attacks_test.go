//go:build linux

package escape_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/test/escape/attacks"
)

// TestAttacks makes every attack in a bottle of each place, beside another
// bottle that is attacked too.
func TestAttacks(t *testing.T) {
	everywhere(t, func(t *testing.T, p *person) { p.attacked(t, p.place.name) })
}

// TestAttacksFromWithin makes them as root of namespaces that a bottle with
// nested lets a program make: what it may do there ends there.
func TestAttacksFromWithin(t *testing.T) {
	at(t, func(t *testing.T, p *person) {
		p.manifest("    nested: true")
		p.attacked(t, attacks.Within+" "+p.place.name, "-within")
	}, places[2], places[3])
}

// attacked holds what comes of each attack to what is declared of a place.
func (p *person) attacked(t *testing.T, at string, more ...string) {
	t.Helper()
	if all() {
		more = append(more, "-full")
	}
	hold(t, at, p.attacks(t, more...))
}

// attacks makes those that are named, or all, beside a neighbour, and nobody
// outside hears of any.
func (p *person) attacks(t *testing.T, more ...string) []attacks.Result {
	t.Helper()
	next := startNeighbour(t, p)
	marker := markProcess(t)
	p.world.forget()
	targets := p.world.targets(t)
	targets.Neighbour, targets.Abstract = next.addresses, []string{next.abstract, hostAbstract(t)}
	targets.Marker = marker
	targets.Files = p.foreignFiles()
	targets.Setuid = []string{"/bin/setuid", "/usr/bin/su", "/usr/bin/mount", "/usr/bin/passwd", "/usr/bin/newgrp"}
	aim, err := json.Marshal(targets)
	if err != nil {
		t.Fatal(err)
	}
	got := p.start(bytes.NewReader(aim), append([]string{"-json", "-targets"}, more...)...)
	var results []attacks.Result
	if err := json.Unmarshal([]byte(got.stdout), &results); err != nil || got.code != 0 {
		t.Fatalf("code %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	p.world.heardNothing(t)
	next.heardNothing(t)
	return results
}

// hold compares results with what must come of each attack.
func hold(t *testing.T, at string, results []attacks.Result) {
	t.Helper()
	came := map[string]attacks.Result{}
	for _, r := range results {
		came[r.ID] = r
	}
	for _, control := range attacks.Controls() {
		if r := came[control.ID]; r.Outcome != attacks.Through {
			t.Errorf("%s: %s, %s: it must work, or nothing else means anything", control.ID, r.Outcome, r.Happened)
		}
	}
	holdEach(t, at, came, func(a attacks.Attack) bool { return !a.Full })
}

// holdEach compares those that were tried; must are those that have to be.
func holdEach(t *testing.T, at string, came map[string]attacks.Result, must func(attacks.Attack) bool) {
	t.Helper()
	for _, a := range attacks.Table() {
		r, tried := came[a.ID]
		if !tried && !must(a) {
			continue
		}
		want := attacks.Declaration{Outcome: attacks.Stopped}
		if declared, is := attacks.Declared(a.ID, at); is {
			want = declared
		}
		if !want.Holds(r.Outcome) {
			t.Errorf("%s: %q, want %q: %s", a.ID, r.Outcome, want.Outcome, r.Happened)
		} else {
			t.Logf("%s: %s: %s (%d ms)", a.ID, r.Outcome, r.Happened, r.Milliseconds)
		}
	}
}

// foreignFiles are the person's and the machine's.
func (p *person) foreignFiles() []string {
	files := []string{
		filepath.Join(p.home, "claude-bottle.yaml"), p.state, p.project, shared.dir, "/root/.ssh", "/root/.cache", "/var/lib/docker",
		"/run/docker.sock", "/var/log/dpkg.log",
	}
	if socket := strings.TrimPrefix(p.env[4], "DOCKER_HOST=unix://"); strings.HasSuffix(socket, "docker.sock") {
		files = append(files, socket)
	}
	return files
}

// markProcess is a process of the host with a word in its command line and
// environment.
func markProcess(t *testing.T) string {
	t.Helper()
	const marker = "marked-by-the-escape-test"
	cmd := exec.CommandContext(t.Context(), "cat", "-", "/dev/null/"+marker)
	cmd.Env = append(os.Environ(), "MARKER="+marker)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait() // it ends badly: there is no such file
	})
	return marker
}

// bottleNext is another bottle, which is attacked.
type bottleNext struct {
	*beside
	addresses []netip.AddrPort
	abstract  string
}

func startNeighbour(t *testing.T, p *person) *bottleNext {
	t.Helper()
	next := &bottleNext{abstract: "@escape-neighbour-" + p.agent}
	var first string
	next.beside, first = p.startBeside(t, "the neighbour", "neighbour", next.abstract)
	if err := json.Unmarshal([]byte(first), &next.addresses); err != nil {
		t.Fatalf("the neighbour says %q: %v", first, err)
	}
	return next
}

// heardNothing ends it and looks at what else it said.
func (n *bottleNext) heardNothing(t *testing.T) {
	t.Helper()
	for line := range strings.Lines(string(n.end(t))) {
		t.Errorf("the neighbour heard: %s", line)
	}
}

// hostAbstract is a unix socket without a file on the host.
func hostAbstract(t *testing.T) string {
	t.Helper()
	name := fmt.Sprintf("@escape-host-%s", filepath.Base(t.TempDir()))
	listener, err := listenUnix(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return name
}
