package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/search"
)

// seenByItself is where the program has to see what it puts there itself.
const seenByItself = "cmdline descriptor environ file memory"

// searching is the shell's part of a search inside: it waits until the host has
// been searched, since the program that searches holds what it looks for, and
// says what it found. It runs in the workspace, of the project's program.
func (p *person) searching(t *testing.T, secrets []string) string {
	t.Helper()
	program, err := shared.searcher()
	if err != nil {
		t.Fatal(err)
	}
	var needles strings.Builder
	for _, form := range forms(secrets) {
		text := []byte(form.text)
		for i := range text {
			text[i] = ^text[i]
		}
		fmt.Fprintln(&needles, hex.EncodeToString(text))
	}
	if err := os.WriteFile(filepath.Join(p.project, "needles"), []byte(needles.String()), 0o644); err != nil { //nolint:gosec // G306: it is copied
		t.Fatal(err)
	}
	if err := os.Link(program, filepath.Join(p.project, "search")); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	since := time.Now().Add(-time.Minute).Unix()
	return fmt.Sprintf("echo ready; until [ -e proceed ]; do sleep 0.1; done; ./search needles %d 2>&1\n", since)
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
	p.foundInside(t, secrets, stdout.String())
	p.foundAfter(t, secrets, stdout.String()+stderr.String())
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// foundAfter searches what was printed, and what is left of the run.
func (p *person) foundAfter(t *testing.T, secrets []string, printed string) {
	t.Helper()
	all := forms(secrets)
	for _, form := range all {
		if strings.Contains(printed, form.text) {
			t.Errorf("%s was printed", form.what)
		}
	}
	p.secretNowhere(texts(all)...)
}

// foundInside reads what the search inside said.
func (p *person) foundInside(t *testing.T, secrets []string, said string) {
	t.Helper()
	seen := ""
	for line := range strings.Lines(said) {
		what, rest, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch what {
		case "found":
			which, where, _ := strings.Cut(strings.TrimPrefix(rest, "text "), " ")
			if i, err := strconv.Atoi(which); err == nil && i < len(forms(secrets)) {
				which = forms(secrets)[i].what
			}
			t.Errorf("inside is %s %s", which, where)
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
	began := time.Now()
	defer func() { t.Logf("searched around it for %v", time.Since(began).Round(time.Second/10)) }()
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
		{"egress", run},
		{"logs", run},
		{"diff", run},
		{"why", agent, "https://api.anthropic.com/v1/messages"},
	} {
		got := p.run(args...)
		said[strings.Join(args, " ")] = got.stdout + got.stderr
	}
	said["the counters"] = p.counters(t, run)
	if p.api != nil {
		said["the engine"] = p.inspected(t)
	}
	all := forms(secrets)
	for _, form := range all {
		for what, text := range said {
			if strings.Contains(text, form.text) {
				t.Errorf("%s says %s", what, form.what)
			}
		}
	}
	p.secretNowhere(texts(all)...)
	searchProcesses(t, all, launcher)
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

// searchProcesses looks at every process of the machine: the arguments of all,
// the environment of all that are younger than the launcher, and descriptors
// and memory of those of them that are no gateway.
func searchProcesses(t *testing.T, all []form, launcher int) {
	t.Helper()
	if os.Getuid() != 0 {
		skipOrFail(t, "only root reads the memory of others")
	}
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	set, since, searched := search.NewSet(texts(all)), startedAt(launcher), 0
	writable := func(a search.Area) bool { return strings.HasPrefix(a.Mode, "rw") }
	for _, dir := range paths {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		said := map[string]bool{}
		reports := func(where string) func(i int) {
			return func(i int) {
				if what := where + all[i].what; !said[what] {
					said[what] = true
					t.Errorf("the %s of %d hold %s: %q", where, pid, all[i].what, bytes.ReplaceAll(line, []byte{0}, []byte{' '}))
				}
			}
		}
		set.In(line, reports("arguments"))
		if began := startedAt(pid); pid == launcher || began == 0 || began < since {
			continue
		}
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		set.In(environ, reports("variables"))
		if holdsSecrets(dir) {
			continue
		}
		searched++
		_ = set.InMemory(pid, writable, reports("bytes of memory")) // it may have ended
		for _, file := range deleted(dir) {
			set.In(file, reports("descriptors"))
		}
	}
	if searched < 2 {
		t.Errorf("%d processes were searched: the bottle's are not among them", searched)
	}
	seen := 0
	if err := set.InMemory(launcher, writable, func(int) { seen++ }); err != nil || seen == 0 {
		t.Errorf("the search is blind: the launcher holds secrets, and none was found there (%v)", err)
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
