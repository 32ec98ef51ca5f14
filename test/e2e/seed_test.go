package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
)

// shell is the agent of tests that look at a bottle from inside: what comes
// after "--" is its script.
const shell = "harness: {command: [bash, -c]}"

// script runs one in a fresh bottle of p and returns what it printed.
func (p *person) script(script string, flags ...string) string {
	p.t.Helper()
	return p.start(append(flags, "--", script)...).stdout
}

func TestDryRunLeavesNoTrace(t *testing.T) {
	p := newPerson(t, "runc", "env: {COLOR: red, SHADE: '${HOME}'}", shell)
	got := p.run("start", p.agent, "--dry-run", "--cwd")
	if got.code != 0 || got.stdout != "" && got.stderr != "" {
		t.Fatalf("code %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	// The existing tool's lines, in its order.
	text, rest := got.stdout+got.stderr, 0
	for _, line := range []string{
		"agent", "image", "cwd", "container", "stage dir", "env (names only)", "skills", "docker runtime", "bottle",
		"  ssh hosts", "  egress", "prompt", "remote-control",
	} {
		at := regexp.MustCompile(`(?m)^(claude-bottle: )?` + regexp.QuoteMeta(line) + `\s*:`).FindStringIndex(text[rest:])
		if at == nil {
			t.Fatalf("no line %q after the ones before it in\n%s", line, text)
		}
		rest += at[1]
	}
	if strings.Contains(text, "red") || strings.Contains(text, p.home+"\n") {
		t.Errorf("a value is shown:\n%s", text)
	}
	if runs, err := filepath.Glob(p.state + "/claude-bottle/runs/*"); err != nil || len(runs) > 0 {
		t.Errorf("runs: %q, %v", runs, err)
	}
}

func TestWhatABottleLooksLikeInside(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "env: {COLOR: 'dark red', SHADE: '${E2E_SHADE}'}", shell)
		p.env = append(p.env, "E2E_SHADE=very dark", "E2E_OTHER=of the host's")
		out := p.script(`
			echo "user $(id -u) $(id -un) $HOME $PWD"
			echo "color $COLOR, $SHADE, ${E2E_SHADE-none}, ${E2E_OTHER-none}, ${CLAUDE_CODE_OAUTH_TOKEN-none}"
			echo "proxy $HTTP_PROXY $http_proxy $HTTPS_PROXY $https_proxy $NO_PROXY"
			echo "init $(tr '\0' ' ' </proc/1/cmdline)"
			touch made-here ~/made-there && echo writable
			echo "kernel $(uname -r)"`)
		proxy := `http://[0-9.]+:3128`
		for _, want := range []string{
			`user [1-9]\d* \w+ /home/node /home/node/workspace`,
			`color dark red, very dark, none, none, none`,
			`proxy ` + proxy + ` ` + proxy + ` ` + proxy + ` ` + proxy + ` localhost,127\.0\.0\.1`,
			`init .*claude-bottle guest init`,
			`writable`,
		} {
			if !regexp.MustCompile(`(?m)^` + want + `\s*$`).MatchString(out) {
				t.Errorf("no line %s in\n%s", want, out)
			}
		}
		// gVisor is a kernel of its own and says so.
		host, err := os.ReadFile("/proc/sys/kernel/osrelease")
		if err != nil {
			t.Fatal(err)
		}
		if same := strings.Contains(out, "kernel "+string(host)); same != (isolation == "runc") {
			t.Errorf("under %s the host's kernel is %t:\n%s", isolation, same, out)
		}
		if _, err := os.Stat(filepath.Join(p.work(), "made-here")); err != nil {
			t.Error(err)
		}
	})
}

// The one way out is the gateway, and it says why when it refuses.
func TestOnlyTheGatewayLeadsOut(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", "")
		p.manifest(p.home, strings.Replace(manifest(isolation, "", shell), "ca: ca.pem",
			"ca: ca.pem\n      allowlist: [api.anthropic.com]", 1))
		address := p.server.Address.Addr().String()
		got := p.start("--", `
			curl -sS --max-time 20 https://api.anthropic.com/api/hello; echo " <- by proxy"
			env -u HTTPS_PROXY -u https_proxy curl -sS --max-time 20 https://api.anthropic.com/api/hello; echo " <- by name"
			curl -sS --max-time 20 http://refused.example/; echo " <- refused"
			timeout 5 bash -c 'exec 3<>/dev/tcp/`+address+`/443' 2>/dev/null && echo OPEN
			getent hosts refused.example && echo RESOLVED
			exit 0`)
		out := got.stdout
		for _, want := range []string{`"hello"} <- by proxy`, `"hello"} <- by name`} {
			if !strings.Contains(out, want) {
				t.Errorf("no %s in\n%s", want, out)
			}
		}
		if !regexp.MustCompile(`(?s)claude-bottle.*refused\.example.* <- refused`).MatchString(out) {
			t.Errorf("the refusal does not explain itself:\n%s", out)
		}
		for _, never := range []string{"OPEN", "RESOLVED"} {
			if strings.Contains(out, never) {
				t.Errorf("%s:\n%s", never, out)
			}
		}
		run := filepath.Base(filepath.Dir(p.work()))
		record := p.run("egress", run).stdout
		for _, want := range []string{"api.anthropic.com", "refused.example"} {
			if !strings.Contains(record, want) {
				t.Errorf("the record lacks %s:\n%s", want, record)
			}
		}
		// What the launch's probe found is where a person looks.
		const closed = `isolation: +\d+ checks, all closed.* \(\d+ ms\)`
		for where, text := range map[string]string{
			"beside the plan": got.stderr, "ps": p.run("ps", run).stdout, "the record": p.run("egress", run, "--follow").stdout,
		} {
			if !regexp.MustCompile(closed).MatchString(text) {
				t.Errorf("%s: no isolation in\n%s", where, text)
			}
		}
	})
}

func TestPromptFileAndSkills(t *testing.T) {
	p := newPerson(t, "runc", "", "prompt: You review.\nskills: [greet]")
	skill := filepath.Join(p.home, ".claude", "skills", "greet")
	if err := os.MkdirAll(skill, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(skill, "SKILL.md"), []byte("---\nname: greet\ndescription: Greet.\n---\nHi.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.git("config", "--global", "user.name", "Ada of the host")
	p.git("config", "--global", "user.email", "ada@host.example")
	out := p.start("--prompt", `run cd; stat -c '%a %u %n' .claude-bottle-prompt.txt; id -u; tail -1 .claude/skills/greet/SKILL.md; `+
		`git config user.name; git config user.email; cat .claude/settings.json; claude --help | grep -o -- '--remote-control\b' | head -1`).stdout
	match := regexp.MustCompile(`600 (\d+) \.claude-bottle-prompt\.txt\n(\d+)\nHi\.`).FindStringSubmatch(out)
	if match == nil || match[1] != match[2] || match[1] == "0" {
		t.Errorf("inside:\n%s", out)
	}
	// The person's name for commits, Claude's settings, and an option that the
	// installed Claude Code must know, since --remote-control passes it on.
	for _, want := range []string{
		`(?m)^Ada of the host\nada@host\.example$`, `"sandbox":\s*\{\s*"enabled":\s*false`,
		`"skipDangerousModePermissionPrompt":\s*true`, `(?m)--remote-control$`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// git runs git in the person's project.
func (p *person) git(args ...string) {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), "git", args...)
	cmd.Dir, cmd.Env = p.project, append(os.Environ(), "HOME="+p.home)
	if out, err := cmd.CombinedOutput(); err != nil {
		p.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
}

// Where gVisor is registered, a bottle that does not say what it wants gets it.
func TestAutoIsGvisor(t *testing.T) {
	p := newPerson(t, "runsc", "", shell)
	p.manifest(p.home, strings.Replace(manifest("auto", "", shell), "isolation: auto", "", 1))
	if out := p.script("cat /proc/version"); !strings.Contains(out, "gvisor") {
		t.Errorf("the bottle's kernel is %s", out)
	}
}

func TestGitHistoryIsCopied(t *testing.T) {
	isolated(t, func(t *testing.T, isolation string) {
		p := newPerson(t, isolation, "", shell)
		for _, args := range [][]string{
			{"init", "-q", "-b", "main"},
			{"config", "user.name", "Ada"},
			{"config", "user.email", "ada@example.com"},
			{"commit", "-q", "--allow-empty", "-m", "First of two"},
			{"commit", "-q", "--allow-empty", "-m", "Second of two"},
		} {
			p.git(args...)
		}
		if err := os.WriteFile(filepath.Join(p.project, "a file"), []byte("text\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out := p.script(`
			git log --format=%s && git status --porcelain
			git add . && git -c user.name=a -c user.email=a@example.com commit -q -m Third && git log --format=%s | head -1
			stat -c '%u' .git .git/HEAD 'a file' | sort -u; id -u`, "--cwd")
		want := "Second of two\nFirst of two\n?? \"a file\"\nThird\n1000\n1000\n"
		if os.Getuid() == 0 && os.Getenv("SUDO_UID") == "" && out != want {
			t.Errorf("inside:\n%s\nwant\n%s", out, want)
		}
		if entries, err := os.ReadDir(filepath.Join(p.work(), ".git")); err == nil && len(entries) > 0 {
			t.Error("the project's .git is in the work directory")
		}
		if log, err := exec.CommandContext(t.Context(), "git", "-C", p.project, "log", "--format=%s").Output(); err != nil || strings.Contains(string(log), "Third") {
			t.Errorf("the project itself changed: %s, %v", log, err)
		}
	})
}

func TestExitCodesPassThrough(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	if got := p.run("start", p.agent, "--yes", "--", "echo out; echo err >&2; exit 42"); got.code != 42 || got.stdout != "out\n" || !strings.Contains(got.stderr, "err\n") {
		t.Errorf("%+v", got)
	}
	p.manifest(p.home, manifest("runc", "", "harness: {command: [no-such-program]}"))
	if got := p.run("start", p.agent, "--yes"); got.code != 127 {
		t.Errorf("a missing program: %+v", got)
	}
	p.manifest(p.home, manifest("runc", "", "harness: {command: [/etc/passwd]}"))
	if got := p.run("start", p.agent, "--yes"); got.code != 126 {
		t.Errorf("a file that is no program: %+v", got)
	}
}

// A project's manifest is refused until its hash is given, and then works.
func TestProjectManifestNeedsTrust(t *testing.T) {
	p := newPerson(t, "runc", "", "")
	if err := os.Remove(filepath.Join(p.home, "claude-bottle.yaml")); err != nil {
		t.Fatal(err)
	}
	p.manifest(p.project, manifest("runc", "", shell))
	got := p.run("start", p.agent, "--yes", "--", "echo ran")
	hash := regexp.MustCompile(`--trust ([0-9a-f]{64})`).FindStringSubmatch(got.stderr)
	if got.code == 0 || got.stdout != "" || hash == nil {
		t.Fatalf("without trust: %+v", got)
	}
	if out := p.script("echo ran", "--trust", hash[1]); out != "ran\n" {
		t.Errorf("with trust: %q", out)
	}
}

// While one bottle runs, a second one of the agent gets the next name; a
// pinned name that is taken is an error; exec and ps find the running one.
func TestNamesOfBottlesAtOnce(t *testing.T) {
	p := newPerson(t, "runc", "", shell)
	name := "claude-bottle-" + p.agent
	s := onScreen(t, p.command("start", p.agent, "--yes", "--", "python3 -m http.server 8000 >/dev/null 2>&1 & echo $((20 + 1))-up; read -r; exit 3"))
	s.shows("21-up")

	if ps := p.run("ps"); !strings.Contains(ps.stdout, name) {
		t.Errorf("ps: %+v", ps)
	}
	if got := p.run("exec", name, "--", "bash", "-c", "echo inside; exit 5"); got.code != 5 || got.stdout != "inside\n" {
		t.Errorf("exec: %+v", got)
	}
	p.apart(name)
	second := p.start("--", "echo second")
	if second.stdout != "second\n" || !strings.Contains(second.stderr, name+"-2") {
		t.Errorf("second: %+v", second)
	}
	p.env = append(p.env, "CLAUDE_BOTTLE_CONTAINER="+name)
	pinned := p.run("start", p.agent, "--yes", "--", "echo third")
	if pinned.code != 125 || !strings.Contains(pinned.stderr, "docker rm -f "+name) {
		t.Errorf("pinned: %+v", pinned)
	}
	s.types("\r")
	if code := s.ends(); code != 3 {
		t.Errorf("code %d", code)
	}
}

// apart tries from a second bottle what the first one, name, and its gateway
// listen on: its own loopback, and the addresses that they have, if any. The
// first one reaches its server.
func (p *person) apart(name string) {
	p.t.Helper()
	targets := []string{"127.0.0.1/8000"}
	for container, ports := range map[string][]string{name: {"8000"}, name + ".gateway": {"3128", "53", "80", "443"}} {
		inspected, err := p.api.ContainerInspect(p.t.Context(), container, client.ContainerInspectOptions{})
		if err != nil {
			p.t.Fatal(err)
		}
		for _, endpoint := range inspected.Container.NetworkSettings.Networks {
			for _, port := range ports {
				if endpoint.IPAddress.IsValid() {
					targets = append(targets, endpoint.IPAddress.String()+"/"+port)
				}
			}
		}
	}
	try := "for target in " + strings.Join(targets, " ") + `; do
		timeout 1 bash -c "exec 3<>/dev/tcp/$target && echo $target" 2>/dev/null & done; wait; exit 0`
	var own []string
	probe := func() bool {
		own = strings.Fields(p.run("exec", name, "--", "bash", "-c", try).stdout)
		return slices.Contains(own, targets[0])
	}
	for end := time.Now().Add(patience); !probe(); { // its server may just be starting
		if time.Now().After(end) {
			p.t.Fatalf("the first bottle reaches of %q only %q", targets, own)
		}
	}
	reached := p.start("--", try)
	if reached.stdout != "" {
		p.t.Errorf("a second bottle reaches %q of the first one's %q", reached.stdout, own)
	}
}

// A secret that is asked for is not shown, reaches the agent, and is in
// nothing that the engine or the host keeps.
func TestAskedSecret(t *testing.T) {
	const secret = "e2e-Zq7xW2mK9"
	p := newPerson(t, "runc", "env: {PASSWORD: '?the password'}", shell)
	began := time.Now()
	s := onScreen(t, p.command("start", p.agent, "--yes", "--", `echo "length ${#PASSWORD}"; read -r`))
	s.shows("the password")
	s.types(secret + "\r")
	s.shows("length 13")
	inspect, err := p.api.ContainerInspect(t.Context(), "claude-bottle-"+p.agent, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(inspect.Raw), secret) {
		t.Error("the engine knows the secret")
	}
	beside := p.run("exec", "claude-bottle-"+p.agent, "--", "sh", "-c", "echo ${PASSWORD-none}")
	if beside.stdout != "none\n" {
		t.Errorf("beside the agent: %+v", beside)
	}
	p.notOnDisk(began, secret)
	s.types("\r")
	s.ends()
	if strings.Contains(s.text(), secret) {
		t.Error("the secret was shown")
	}
	p.secretNowhere(secret)
}

// notOnDisk searches what the engine wrote to its disk since began: the secret
// is nowhere there. That the search would find it, the container's name shows.
func (p *person) notOnDisk(began time.Time, secret string) {
	p.t.Helper()
	name := "claude-bottle-" + p.agent
	disk, err := engine.DiskOf(p.t.Context(), p.api, name)
	if err != nil {
		p.t.Fatal(err)
	}
	for text, wanted := range map[string]bool{secret: false, name: true} {
		found, err := disk.Holding(began, text)
		if err != nil {
			p.t.Fatal(err)
		}
		if wanted != (len(found) > 0) {
			p.t.Errorf("files of the engine that hold %s: %q", text, found)
		}
	}
}

func TestImageOfOnesOwn(t *testing.T) {
	p := newPerson(t, "runc", "", shell+"\nskills: [greet]")
	skill := filepath.Join(p.home, ".claude", "skills", "greet")
	if err := errors.Join(os.MkdirAll(skill, 0o755), os.WriteFile(filepath.Join(skill, "SKILL.md"), []byte("Hi.\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	derived := p.agent + ":cwd"
	t.Cleanup(func() {
		_, err := p.api.ImageRemove(context.WithoutCancel(t.Context()), derived, client.ImageRemoveOptions{})
		if err != nil {
			t.Error(err)
		}
	})
	p.env = append(p.env, "CLAUDE_BOTTLE_IMAGE="+engine.BaseImage, "CLAUDE_BOTTLE_DERIVED_IMAGE="+derived,
		"CLAUDE_BOTTLE_CONTAINER_HOME=/home/ada", "CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR=/home/ada/of/skills")
	if err := os.WriteFile(filepath.Join(p.project, "in-the-project"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	out := p.script("command -v rg claude; ls; pwd; echo $HOME; touch ~/mine; cat ~/of/skills/greet/SKILL.md", "--cwd")
	if out != "in-the-project\n/home/node/workspace\n/home/ada\nHi.\n" {
		t.Errorf("inside: %q", out)
	}
	if _, err := p.api.ImageInspect(t.Context(), derived); err != nil {
		t.Error(err)
	}
}
