//go:build linux

package cli_test

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

const listedManifest = `# what I use
bottles:
  work:
    egress:
      allowlist:
        - api.example.com # the API
agents: {shell: {bottle: work, harness: {command: [bash, -c]}}}
`

// runs starts a bottle that goes on until the test's end.
func (p place) runs(t *testing.T) *exec.Cmd {
	t.Helper()
	launch := p.command(t, "start", "shell", "--yes", "--", "exec sleep 1000")
	if err := launch.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = launch.Process.Signal(syscall.SIGTERM)
		_ = launch.Wait()
	})
	until(t, "the bottle runs", func() bool {
		out, err := p.command(t, "ps").Output()
		return err == nil && strings.Contains(string(out), "running")
	})
	return launch
}

// until polls a condition.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: not in 20 s", what)
		}
	}
}

// gateway runs a gateway by itself where the fake platform looks for that of
// the bottle, and returns its address.
func (p place) gateway(t *testing.T, egress policy.Egress) string {
	t.Helper()
	data, err := json.Marshal(egress)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.project+"/policy.json", string(data))
	cmd := p.command(t, "gateway", "--policy", "policy.json", "--listen", "127.0.0.1:0", "--record", "record.jsonl",
		"--control", filepath.Join(p.state, "claude-bottle/fake/claude-bottle-shell.ctl"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	buffer := make([]byte, 200)
	n, err := stderr.Read(buffer)
	_, at, ok := strings.Cut(strings.TrimSpace(string(buffer[:n])), "listens on ")
	if err != nil || !ok {
		t.Fatalf("%q, %v", buffer[:n], err)
	}
	return at
}

// A person says yes in a second terminal while the agent waits, and the
// manifest has it, with its comments.
func TestApprove(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	}))
	defer origin.Close()
	port := origin.Listener.Addr().(*net.TCPAddr).AddrPort().Port()
	p := newPlace(t, listedManifest)
	p.runs(t)
	at := p.gateway(t, policy.Egress{
		Unlisted: policy.Ask, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolve: map[string]netip.Addr{"new.example": netip.MustParseAddr("127.0.0.1"), "bad.example": netip.MustParseAddr("127.0.0.1")},
	})
	c := p.console(t, "approve")
	c.expect("waiting for what claude-bottle-shell asks for")
	ask := func(host string) <-chan answer {
		return through(t, at, http.MethodGet, "http://"+host+":"+strconv.Itoa(int(port))+"/x")
	}
	asked := ask("new.example")
	c.expect("shell asks for GET new.example:")
	c.expect("  1  GET http://new.example:" + strconv.Itoa(int(port)) + "/x")
	c.expect("  2  new.example:")
	c.expect("? ")
	c.types("s2\n")
	if got := <-asked; got.status != 200 || got.text != "here" {
		t.Errorf("allowed: %+v", got)
	}
	c.expect("claude-bottle: saved ")
	asked = ask("bad.example")
	c.expect("shell asks for GET bad.example:")
	c.expect("? ")
	c.types("\n")
	if got := <-asked; got.status != 403 || !strings.Contains(got.text, "said no") {
		t.Errorf("refused: %+v", got)
	}
	c.types(ctrlC)
	_ = c.cmd.Wait()
	saved, err := os.ReadFile(p.home + "/claude-bottle.yaml")
	want := strings.Replace(listedManifest, "# the API\n", "# the API\n        - new.example:"+strconv.Itoa(int(port))+"\n", 1)
	if err != nil || string(saved) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, saved, want)
	}
}

// A rule is saved to the manifest that has the bottle's rules: in another one its
// list would take their place, and what home denies would be denied no longer.
func TestApproveSavesWhereTheListIs(t *testing.T) {
	home := strings.Replace(listedManifest, "      allowlist:\n", "      rules:\r\n        - {host: evil.example, deny: true}\r\n      allowlist:\n", 1)
	p := newPlace(t, home)
	p.runs(t)
	at := p.gateway(t, policy.Egress{Unlisted: policy.Ask})
	const project = `{"bottles": {"work": {"egress": {"allowlist": ["b.example"]}}}}` + "\n"
	write(t, p.project+"/claude-bottle.json", project)
	// A second terminal is anywhere: what counts is where the bottle was started.
	elsewhere := p
	elsewhere.project = t.TempDir()
	write(t, elsewhere.project+"/claude-bottle.yaml", home)
	c := elsewhere.console(t, "approve")
	c.expect("waiting for what claude-bottle-shell asks for")
	for name, keys := range map[string]string{"narrow.example": "s1\n", "wide.example": "s2\n"} {
		through(t, at, http.MethodGet, "http://"+name+"/x")
		c.expect("shell asks for GET " + name)
		c.expect("? ")
		c.types(keys)
		c.expect("claude-bottle: saved ")
	}
	for path, want := range map[string]string{
		p.home + "/claude-bottle.yaml":            strings.Replace(home, "deny: true}\r\n", "deny: true}\r\n        - {host: narrow.example, port: 80, methods: [GET], paths: [/x]}\n", 1),
		p.project + "/claude-bottle.json":         strings.Replace(project, `"b.example"`, `"b.example", "wide.example"`, 1),
		elsewhere.project + "/claude-bottle.yaml": home,
	} {
		if saved, err := os.ReadFile(path); err != nil || string(saved) != want {
			t.Errorf("%v\n%s\nwant\n%s", err, saved, want)
		}
	}
}

// What is typed before a question is there is no answer to it. Of two people
// the first one to answer is heard, and what the second says to that question
// changes nothing, the manifest included. Who leaves says no to nothing, and
// sees what was missed when they are back.
func TestApproveByTwo(t *testing.T) {
	p := newPlace(t, listedManifest)
	p.runs(t)
	at := p.gateway(t, policy.Egress{Unlisted: policy.Ask})
	first, second := p.console(t, "approve"), p.console(t, "approve")
	first.expect("waiting for what claude-bottle-shell asks for")
	second.expect("waiting for what claude-bottle-shell asks for")
	first.types("s\ns\n")
	asked := through(t, at, http.MethodGet, "http://one.example/x")
	first.expect("shell asks for GET one.example:80/x (it waits for ")
	first.expect("? ")
	second.expect("shell asks for GET one.example:80/x (it waits for ")
	second.expect("? ")
	second.types("s")
	first.types("n\n")
	if got := <-asked; got.status != 403 || !strings.Contains(got.text, "said no") {
		t.Errorf("refused: %+v", got)
	}
	second.expect("it was answered elsewhere; Enter goes on")
	asked = through(t, at, http.MethodGet, "http://two.example/x")
	first.expect("shell asks for GET two.example:80/x (it waits for ")
	first.expect("? ")
	second.types("\n")
	second.expect("shell asks for GET two.example:80/x (it waits for ")
	second.expect("? ")
	second.types("\x04")
	second.ends(0)
	<-second.read
	if screen := second.screen(); strings.Contains(screen, "has ended") || !strings.HasSuffix(screen, "\r\n") {
		t.Errorf("leaves with %q", screen)
	}
	first.types(ctrlC)
	_ = first.cmd.Wait()
	if got := <-asked; got.status != 403 || !strings.Contains(got.text, "has not answered") {
		t.Errorf("when both have left: %+v", got)
	}
	if saved, err := os.ReadFile(p.home + "/claude-bottle.yaml"); err != nil || string(saved) != listedManifest {
		t.Errorf("%v\n%s", err, saved)
	}
	third := p.console(t, "approve")
	third.expect("shell asks for GET two.example:80/x (it was refused; an answer is for the next time)")
}

// The end of a bottle is no failure of who waited for its questions.
func TestApproveEndsWithTheBottle(t *testing.T) {
	p := newPlace(t, listedManifest)
	p.runs(t)
	var c *console
	t.Run("while it runs", func(sub *testing.T) {
		p.gateway(sub, policy.Egress{Unlisted: policy.Ask})
		c = p.console(t, "approve")
		c.expect("waiting for what claude-bottle-shell asks for")
	})
	c.expect("claude-bottle: claude-bottle-shell has ended")
	c.ends(0)
}

// answer is what a request through a gateway got.
type answer struct {
	status int
	text   string
	err    error
}

// through sends a request through the proxy at an address, and does not wait.
func through(t *testing.T, at, method, target string) <-chan answer {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: at}), DisableKeepAlives: true,
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan answer, 1)
	go func() {
		response, err := client.Do(request)
		if err != nil {
			got <- answer{err: err}
			return
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		got <- answer{response.StatusCode, string(text), err}
	}()
	return got
}

// A host of a preset, as the person's own client is configured, is offered with
// it: then all of the preset's hosts may be read from, and the manifest names
// the preset.
func TestApproveByPreset(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "here")
	}))
	defer origin.Close()
	port := strconv.Itoa(int(origin.Listener.Addr().(*net.TCPAddr).AddrPort().Port()))
	index, other := "http://index.example:"+port+"/simple/", "http://other.example:"+port+"/simple/"
	p := newPlace(t, listedManifest)
	if err := os.MkdirAll(p.home+"/.config/pip", 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, p.home+"/.config/pip/pip.conf", "[global]\nindex-url = "+index+"\nextra-index-url = "+other+"\n")
	p.runs(t)
	local := netip.MustParseAddr("127.0.0.1")
	at := p.gateway(t, policy.Egress{
		Unlisted: policy.Ask, Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		Resolve: map[string]netip.Addr{"index.example": local, "other.example": local},
	})
	c := p.console(t, "approve")
	c.expect("waiting for what claude-bottle-shell asks for")
	asked := through(t, at, http.MethodGet, index)
	c.expect("shell asks for GET index.example:" + port + "/simple/")
	c.expect("  2  index.example:" + port)
	c.expect("  3  preset pypi: GET and HEAD to index.example, other.example")
	c.expect("? ")
	c.types("s3\n")
	if got := <-asked; got.status != 200 || got.text != "here" {
		t.Errorf("the host: %+v", got)
	}
	c.expect("claude-bottle: saved ")
	if got := <-through(t, at, http.MethodGet, other+"x/"); got.status != 200 {
		t.Errorf("the preset's other host: %+v", got)
	}
	if got := <-through(t, at, http.MethodPost, other); got.status != 403 {
		t.Errorf("publishing: %+v", got)
	}
	c.types(ctrlC)
	_ = c.cmd.Wait()
	saved, err := os.ReadFile(p.home + "/claude-bottle.yaml")
	if want := strings.Replace(listedManifest, "# the API\n", "# the API\n      presets:\n        - pypi\n", 1); err != nil || string(saved) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, saved, want)
	}
}

// At the end of a run at a terminal what was refused is listed once; what a
// person chooses is saved, and the exit code stays the agent's. After the next
// run only what is new is asked about.
func TestRefusedIsOfferedAtTheEnd(t *testing.T) {
	p := newPlace(t, listedManifest)
	c := p.refuses(t, []audit.Event{
		{Host: "often.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault},
		{Host: "often.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault},
		{Host: "once.example", Port: 8443, Decision: audit.Denied, Rule: policy.RuleDefault},
		{Host: "0123456789abcdef0123456789abcdef.evil.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault},
		{Host: "denied.example", Port: 443, Decision: audit.Denied, Rule: "deny denied.example"},
		{Host: "api.example.com", Port: 443, Decision: audit.Allowed, Rule: "allow api.example.com"},
	})
	c.expect("refused, since nothing lists them:")
	c.expect("1  often.example (2 times)")
	c.expect("2  once.example:8443 (1 time)")
	c.expect("save to the manifest: [a]ll, numbers as 1,3, or [N]one? ")
	c.types("2\n")
	c.expect("claude-bottle: saved ")
	c.ends(3)
	if screen := c.screen(); strings.Contains(screen, "evil.example") || strings.Contains(screen, "denied.example") {
		t.Errorf("offered what nobody should be asked about:\n%s", screen)
	}
	saved, err := os.ReadFile(p.home + "/claude-bottle.yaml")
	if err != nil || !strings.Contains(string(saved), "- once.example:8443") || strings.Contains(string(saved), "often") {
		t.Errorf("%v\n%s", err, saved)
	}
	often := audit.Event{Host: "often.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault}
	c = p.refuses(t, []audit.Event{often, {Host: "new.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault}})
	c.expect("1  new.example (1 time)")
	c.expect("and 1 more: claude-bottle egress ")
	c.expect("? ")
	c.types("\n")
	c.ends(3)
	c = p.refuses(t, []audit.Event{often})
	c.expect("refused as before: 1 host (claude-bottle egress ")
	c.ends(3)
	c = p.refuses(t, []audit.Event{{Host: "late.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault}})
	c.expect("save to the manifest: [a]ll, numbers as 1,3, or [N]one? ")
	c.types(ctrlC)
	c.ends(3)
	if screen := c.screen(); strings.Contains(screen, "once more to leave") {
		t.Errorf("Ctrl-C at the question is not about the bottle, which is gone:\n%s", screen)
	}
}

// refuses runs a bottle at a terminal, with those lines in its record, and lets
// its agent end with code 3.
func (p place) refuses(t *testing.T, events []audit.Event) *console {
	t.Helper()
	before, err := filepath.Glob(p.state + "/claude-bottle/runs/*/record")
	if err != nil {
		t.Fatal(err)
	}
	c := p.console(t, "start", "shell", "--yes", "--", "read -r line; exit 3")
	until(t, "the bottle runs", func() bool {
		out, err := p.command(t, "ps").Output()
		return err == nil && strings.Contains(string(out), "running")
	})
	after, err := filepath.Glob(p.state + "/claude-bottle/runs/*/record")
	record := slices.DeleteFunc(after, func(r string) bool { return slices.Contains(before, r) })
	if err != nil || len(record) != 1 {
		t.Fatalf("%v, %v", record, err)
	}
	w, err := audit.OpenWriter(record[0]+"/egress.jsonl", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := w.Append(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c.types("\n")
	return c
}
