package e2e_test

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/internal/wire"
)

// searchProgram searches a bottle from inside, as the agent can.
//
//go:embed testdata/search.py
var searchProgram string

// seenByItself is where the program has to see what it puts there itself.
const seenByItself = "cmdline descriptor environ file memory"

// searching is the shell's part of a search inside: it waits until the host has
// been searched, since the program that searches holds what it looks for, and
// says what it found. It runs in the workspace.
func (p *person) searching(t *testing.T, secrets []string) string {
	t.Helper()
	var needles strings.Builder
	for _, part := range parts(secrets) {
		backwards := []byte(part)
		slices.Reverse(backwards)
		fmt.Fprintln(&needles, hex.EncodeToString(backwards))
	}
	for name, content := range map[string]string{"needles": needles.String(), "search.py": searchProgram} {
		if err := os.WriteFile(filepath.Join(p.project, name), []byte(content), 0o644); err != nil { //nolint:gosec // G306: it is copied
			t.Fatal(err)
		}
	}
	since := time.Now().Add(-time.Minute).Unix()
	return fmt.Sprintf("echo ready; until [ -e proceed ]; do sleep 0.1; done; python3 -I search.py needles %d 2>&1\n", since)
}

// parts are what is searched for: of each secret so much that no placeholder
// has it.
func parts(secrets []string) (parts []string) {
	for _, secret := range secrets {
		from := len(secret)/2 - 8
		parts = append(parts, secret[from:from+16])
	}
	return parts
}

// searched runs script in a bottle, has secrets searched for inside and all
// around it while the bottle is there, and what is kept when it is not.
func (p *person) searched(t *testing.T, secrets, args []string, script string) result {
	t.Helper()
	cmd := p.command(append(args, script+p.searching(t, secrets))...)
	var stdout, stderr bytes.Buffer
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	around := false
	for lines := bufio.NewReader(out); ; {
		line, err := lines.ReadString('\n')
		stdout.WriteString(line)
		if line == "ready\n" && !around {
			around = true
			p.searchAround(t, secrets, cmd.Process.Pid)
			if err := os.WriteFile(filepath.Join(p.lastRun(), "work", "proceed"), nil, 0o644); err != nil { //nolint:gosec // G306: the agent's
				t.Error(err)
			}
		}
		if err != nil {
			if err != io.EOF {
				t.Error(err)
			}
			break
		}
	}
	if err := cmd.Wait(); err != nil || !around {
		t.Errorf("%v\n%s%s", err, stdout.String(), stderr.String())
	}
	p.foundInside(t, stdout.String())
	p.foundAfter(t, secrets, stdout.String()+stderr.String())
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// foundAfter searches what was printed, and what is left of the run.
func (p *person) foundAfter(t *testing.T, secrets []string, printed string) {
	t.Helper()
	for i, part := range parts(secrets) {
		if strings.Contains(printed, part) {
			t.Errorf("secret %d was printed", i)
		}
		p.secretNowhere(part)
	}
}

// foundInside reads what the search inside said.
func (p *person) foundInside(t *testing.T, said string) {
	t.Helper()
	seen := ""
	for line := range strings.Lines(said) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch what {
		case "found":
			t.Errorf("inside is %s", rest)
		case "seen":
			seen = rest
		case "searched":
			t.Logf("searched inside: %s", rest)
		}
	}
	if seen != seenByItself {
		t.Errorf("the search inside sees %q, and should see %q\n%s", seen, seenByItself, said)
	}
}

// searchAround searches the host while a bottle runs: what every process was
// started with, descriptors and memory of those of the bottle, what the engine
// knows of its objects, and what every command says.
func (p *person) searchAround(t *testing.T, secrets []string, launcher int) {
	t.Helper()
	run := filepath.Base(p.lastRun())
	agent := p.agentOf(t, run)
	said := map[string]string{}
	for _, args := range [][]string{
		{"info", agent},
		{"info", agent, "--format", "json"},
		{"policy", agent},
		{"ps"},
		{"ps", "--format", "json"},
		{"ps", run, "--format", "json"},
		{"list", "active"},
		{"start", agent, "--dry-run", "--format", "json"},
		{"egress", run, "--format", "json"},
		{"why", agent, "https://api.anthropic.com/v1/messages"},
	} {
		got := p.run(args...)
		said[strings.Join(args, " ")] = got.stdout + got.stderr
	}
	if p.api != nil {
		said["the engine"] = p.inspected(t)
	} else {
		said["the counters"] = p.counters(t)
	}
	for i, part := range parts(secrets) {
		for what, text := range said {
			if strings.Contains(text, part) {
				t.Errorf("%s says secret %d", what, i)
			}
		}
		p.secretNowhere(part)
	}
	searchProcesses(t, parts(secrets), launcher)
}

// agentOf is the agent of a run.
func (p *person) agentOf(t *testing.T, run string) string {
	t.Helper()
	var shown struct{ Agent string }
	got := p.run("ps", run, "--format", "json")
	if err := json.Unmarshal([]byte(got.stdout), &shown); err != nil || shown.Agent == "" {
		t.Fatalf("whose run: %v\n%s%s", err, got.stdout, got.stderr)
	}
	return shown.Agent
}

// counters are those that the gateway of a native bottle shows.
func (p *person) counters(t *testing.T) string {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(p.lastRun(), "control.sock"))
	if err != nil {
		t.Fatal(err)
	}
	control := wire.NewControlClient(conn)
	defer control.Close()
	text, err := control.Counters(t.Context())
	if err != nil || text == "" {
		t.Errorf("%q, %v", text, err)
	}
	return text
}

// inspected is all that the engine says of the person's objects.
func (p *person) inspected(t *testing.T) string {
	t.Helper()
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner)
	var all strings.Builder
	add := func(raw []byte, err error) {
		if err != nil {
			t.Error(err)
		}
		all.Write(raw)
	}
	containers, err := p.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil || len(containers.Items) < 2 {
		t.Fatalf("%d containers, %v", len(containers.Items), err)
	}
	for _, c := range containers.Items {
		got, err := p.api.ContainerInspect(t.Context(), c.ID, client.ContainerInspectOptions{})
		add(got.Raw, err)
		image, err := p.api.ImageInspect(t.Context(), c.ImageID)
		if err != nil {
			t.Error(err)
		}
		add(json.Marshal(image.InspectResponse))
		history, err := p.api.ImageHistory(t.Context(), c.ImageID)
		if err != nil {
			t.Error(err)
		}
		add(json.Marshal(history.Items))
	}
	return all.String()
}

// searchProcesses looks at every process of the machine: the arguments of all,
// the environment of all that are younger than the launcher, and descriptors
// and memory of those of them that are no gateway.
func searchProcesses(t *testing.T, parts []string, launcher int) {
	t.Helper()
	if os.Getuid() != 0 {
		skipOrFail(t, "only root reads the memory of others")
	}
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	since, searched := startedAt(launcher), 0
	for _, dir := range paths {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		reports := func(i int, where string) {
			t.Errorf("the %s of %d hold secret %d: %q", where, pid, i, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
		}
		inAny(line, parts, func(i int) { reports(i, "arguments") })
		if began := startedAt(pid); pid == launcher || began == 0 || began < since {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		inAny(environ, parts, func(i int) { reports(i, "variables") })
		if holdsSecrets(dir) {
			continue
		}
		searched++
		for i := range inMemory(pid, parts) {
			reports(i, "bytes of memory")
		}
		for _, file := range deleted(dir) {
			inAny(file, parts, func(i int) { reports(i, "descriptors") })
		}
	}
	if searched < 2 {
		t.Errorf("%d processes were searched: the bottle's are not among them", searched)
	}
	if len(inMemory(launcher, parts)) == 0 {
		t.Error("the search is blind: the launcher holds secrets, and none was found there")
	}
}

func inAny(data []byte, parts []string, found func(i int)) {
	for i, part := range parts {
		if bytes.Contains(data, []byte(part)) {
			found(i)
		}
	}
}

// deleted is what a process has open of files that have no name any more, or
// never had one.
func deleted(dir string) (all [][]byte) {
	links, _ := filepath.Glob(filepath.Join(dir, "fd", "*"))
	for _, link := range links {
		name, err := os.Readlink(link)
		if err != nil || !strings.HasSuffix(name, " (deleted)") {
			continue
		}
		if info, err := os.Stat(link); err != nil || !info.Mode().IsRegular() || info.Size() > 64<<20 {
			continue
		}
		if data, err := os.ReadFile(link); err == nil {
			all = append(all, data)
		}
	}
	return all
}
