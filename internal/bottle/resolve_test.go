package bottle

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/provision"
)

const resolveManifest = `
bottles:
  work:
    env:
      NODE_ENV: development
      NPM_TOKEN: "?npm token"
      HTTP_TIMEOUT: ${HTTP_TIMEOUT}
    egress:
      allowlist: [api.example.net, "*.example.com", Api.Anthropic.com]
      private: [10.20.0.0/16]
    limits: {memory: 4GiB, cpus: 2}
  bare: {}
  two:
    env: {A: "${MISSING_A}", B: "${MISSING_B}"}
agents:
  reviewer:
    bottle: work
    skills: [code-review]
    prompt: |
      You review Go code.
      Be kind.
  shell:
    bottle: bare
    harness: {command: [bash, -l]}
    prompt: Nothing.
  lost: {bottle: two}
  Skilled Agent: {bottle: bare, skills: [code-review, absent, file]}
`

// person makes a home with a skill in it and returns the input for an agent.
func person(t *testing.T, text string) Input {
	t.Helper()
	home := t.TempDir()
	write(t, filepath.Join(home, "claude-bottle.yaml"), text)
	write(t, filepath.Join(home, ".claude/skills/code-review/SKILL.md"), "# Review")
	write(t, filepath.Join(home, ".claude/skills/file"), "not a directory")
	write(t, filepath.Join(home, ".ssh/id"), "key")
	m, err := manifest.Load(t.TempDir(), home)
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Manifest: m, Agent: "reviewer",
		Lookup: environment(map[string]string{"HTTP_TIMEOUT": canary, "CLAUDE_BOTTLE_OAUTH_TOKEN": canary}),
		Host:   Host{Home: home, UID: 1000, GID: 1001, GitName: "Ada", GitMail: "ada@example.com", StateRoot: filepath.Join(home, "state")},
	}
}

func environment(values map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := values[name]
		return value, ok
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func resolve(t *testing.T, in Input) Spec {
	t.Helper()
	spec, err := Resolve(in)
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

func (s Spec) file(path string) (provision.File, bool) {
	i := slices.IndexFunc(s.Files, func(f provision.File) bool { return f.Path == path })
	if i < 0 {
		return provision.File{}, false
	}
	return s.Files[i], true
}

func TestResolve(t *testing.T) {
	in := person(t, resolveManifest)
	in.Flags = Flags{Once: "Say hello.", Args: []string{"--model", "x"}}
	spec := resolve(t, in)

	data, err := json.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), canary) {
		t.Errorf("the spec holds a secret: %s", data)
	}
	if prompt, ok := spec.file(promptFile); !ok || prompt.Mode != 0o600 || string(prompt.Data) != "You review Go code.\nBe kind.\n" {
		t.Errorf("prompt file: %+v", prompt)
	}
	want := provision.Tree{
		Root: provision.Home, Path: ".claude/skills/code-review",
		Source: filepath.Join(in.Host.Home, ".claude/skills/code-review"),
	}
	if !slices.Equal(spec.Trees, []provision.Tree{want}) {
		t.Errorf("skills: %+v", spec.Trees)
	}
	names := strings.Join(envNames(spec.Env), " ")
	if !strings.HasPrefix(names, "NODE_ENV NPM_TOKEN HTTP_TIMEOUT CLAUDE_CODE_OAUTH_TOKEN") {
		t.Errorf("env: %s", names)
	}
	hosts := map[string]string{}
	for _, allow := range spec.Egress.Allow {
		hosts[strings.ToLower(allow.Host)] = allow.Source
	}
	if hosts["api.example.net"] != "bottle work" || hosts["api.anthropic.com"] != "bottle work" || hosts["claude.ai"] != "harness claude" {
		t.Errorf("egress sources: %v", hosts)
	}
	if spec.PromptLine != "You review Go code." || spec.PromptLength != 29 || !spec.Once || spec.UID != 1000 || spec.GID != 1001 {
		t.Errorf("spec: %+v", spec)
	}
	if len(spec.Manifest) != 64 || spec.Limits.Memory != 4<<30 || spec.Home != DefaultHome || spec.Workspace != Workspace {
		t.Errorf("spec: %+v", spec)
	}
	golden(t, "warnings.txt", []byte(strings.Join(spec.Warnings, "\n")+"\n"))
}

func TestResolveCommand(t *testing.T) {
	in := person(t, resolveManifest)
	in.Agent, in.Flags.Args = "shell", []string{"-c", "true"}
	spec := resolve(t, in)
	if !slices.Equal(spec.Argv, []string{"bash", "-l", "-c", "true"}) {
		t.Errorf("argv: %q", spec.Argv)
	}
	if _, ok := spec.file(promptFile); !ok {
		t.Error("a command's agent has a prompt but no prompt file")
	}
	if hasEntry(spec.Env, "CLAUDE_CODE_OAUTH_TOKEN") || len(spec.Egress.Allow) != 0 || len(spec.Warnings) != 0 {
		t.Errorf("a command got what only claude needs: %+v", spec)
	}
}

func TestResolveToken(t *testing.T) {
	for name, test := range map[string]struct {
		env    map[string]string
		source string // of the variable that is forwarded
		inside string
	}{
		"oauth":      {map[string]string{"CLAUDE_BOTTLE_OAUTH_TOKEN": "x", "ANTHROPIC_API_KEY": "y"}, "CLAUDE_BOTTLE_OAUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"},
		"key":        {map[string]string{"ANTHROPIC_API_KEY": "y"}, "ANTHROPIC_API_KEY", "CLAUDE_BOTTLE_API_KEY"},
		"empty":      {map[string]string{"CLAUDE_BOTTLE_OAUTH_TOKEN": "", "ANTHROPIC_API_KEY": "y"}, "ANTHROPIC_API_KEY", "CLAUDE_BOTTLE_API_KEY"},
		"not theirs": {map[string]string{"CLAUDE_CODE_OAUTH_TOKEN": "x"}, "", ""},
		"none":       {nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			in := person(t, "bottles: {b: {}}\nagents: {reviewer: {bottle: b}}\n")
			in.Lookup = environment(test.env)
			spec := resolve(t, in)
			var secrets []environ.Entry
			for _, entry := range spec.Env {
				if entry.Kind != environ.Literal {
					secrets = append(secrets, entry)
				}
			}
			var want []environ.Entry
			if test.source != "" {
				want = []environ.Entry{{Name: test.inside, Kind: environ.Host, Source: test.source, Use: useOf(test.inside), Renew: renewOf(test.inside)}}
			}
			if !reflect.DeepEqual(secrets, want) {
				t.Errorf("secrets %+v, want %+v", secrets, want)
			}
			warned := slices.ContainsFunc(spec.Warnings, func(w string) bool { return strings.Contains(w, "no credential") })
			if warned != (test.source == "") {
				t.Errorf("warnings: %q", spec.Warnings)
			}
		})
	}
	t.Run("the manifest's own wins", func(t *testing.T) {
		in := person(t, "bottles: {b: {env: {ANTHROPIC_API_KEY: \"${MY_KEY}\"}}}\nagents: {reviewer: {bottle: b}}\n")
		in.Lookup = environment(map[string]string{"MY_KEY": "x", "CLAUDE_BOTTLE_OAUTH_TOKEN": "y"})
		if spec := resolve(t, in); hasEntry(spec.Env, "CLAUDE_CODE_OAUTH_TOKEN") {
			t.Errorf("two credentials: %v", envNames(spec.Env))
		}
	})
}

func TestResolveRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Input)
		want   []string // in the error or its hint
	}{
		"unknown agent":     {func(in *Input) { in.Agent = "reviwer" }, []string{"reviwer", "reviewer"}},
		"missing variables": {func(in *Input) { in.Agent = "lost" }, []string{"MISSING_A", "MISSING_B"}},
		"every missing skill at once": {
			func(in *Input) { in.Agent = "Skilled Agent" },
			[]string{"absent", "file is not a directory"},
		},
		"home inside that is the root": {setting("CLAUDE_BOTTLE_CONTAINER_HOME", "/"), []string{"CLAUDE_BOTTLE_CONTAINER_HOME"}},
		"home inside the workspace":    {setting("CLAUDE_BOTTLE_CONTAINER_HOME", Workspace+"/x"), []string{"CLAUDE_BOTTLE_CONTAINER_HOME"}},
		"relative home":                {setting("CLAUDE_BOTTLE_CONTAINER_HOME", "me"), []string{"absolute"}},
		"skills outside the home":      {setting("CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR", "/opt/skills"), []string{"not below the home"}},
		"skills that leave the home":   {setting("CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR", "/home/node/../other"), []string{"not below the home"}},
		"prompt for a command": {
			func(in *Input) { in.Agent, in.Flags.Once = "shell", "x" }, []string{"--prompt"},
		},
		"remote control of a command": {
			func(in *Input) { in.Agent, in.Flags.RemoteControl = "shell", true }, []string{"--remote-control"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := person(t, resolveManifest)
			test.change(&in)
			_, err := Resolve(in)
			if err == nil {
				t.Fatal("no error")
			}
			text := err.Error() + "\n" + hint.Of(err)
			for _, want := range test.want {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in: %s", want, text)
				}
			}
		})
	}
}

func setting(name, value string) func(*Input) {
	return func(in *Input) {
		lookup := in.Lookup
		in.Lookup = func(asked string) (string, bool) {
			if asked == name {
				return value, true
			}
			return lookup(asked)
		}
	}
}

func TestHomeInsideMoves(t *testing.T) {
	in := person(t, resolveManifest)
	setting("CLAUDE_BOTTLE_CONTAINER_HOME", "/home/me/")(&in)
	setting("CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR", "/home/me/skills")(&in)
	spec := resolve(t, in)
	if spec.Home != "/home/me" || spec.Workspace != Workspace || spec.Trees[0].Path != "skills/code-review" {
		t.Errorf("home %s, workspace %s, skill %s", spec.Home, spec.Workspace, spec.Trees[0].Path)
	}
	if !slices.Contains(spec.Argv, "/home/me/"+promptFile) {
		t.Errorf("argv does not name the moved prompt: %q", spec.Argv)
	}
}

func TestSkillLinks(t *testing.T) {
	home, elsewhere := t.TempDir(), t.TempDir()
	skills := filepath.Join(home, ".claude/skills")
	write(t, filepath.Join(elsewhere, "real/SKILL.md"), "x")
	if err := os.MkdirAll(skills, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{
		"linked": filepath.Join(elsewhere, "real"), "home": home, "root": "/", "above": filepath.Dir(home), "dangling": "/nonexistent",
	} {
		if err := os.Symlink(target, filepath.Join(skills, name)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := skillSource(home, "linked"); err != nil || got != filepath.Join(elsewhere, "real") {
		t.Errorf("linked: %s, %v", got, err)
	}
	for _, name := range []string{"home", "root", "above", "dangling", "", ".", "..", "a/b"} {
		if got, err := skillSource(home, name); err == nil {
			t.Errorf("skill %q was found at %s", name, got)
		}
	}
}

func TestPerson(t *testing.T) {
	for name, test := range map[string]struct {
		uid, gid         int
		env              map[string]string
		wantUID, wantGID int
	}{
		"a person":         {501, 20, map[string]string{"SUDO_UID": "7"}, 501, 20},
		"root group":       {501, 0, nil, 501, 501},
		"root":             {0, 0, nil, 1000, 1000},
		"sudo":             {0, 0, map[string]string{"SUDO_UID": "1234", "SUDO_GID": "1235"}, 1234, 1235},
		"sudo by root":     {0, 0, map[string]string{"SUDO_UID": "0", "SUDO_GID": "0"}, 1000, 1000},
		"forged":           {0, 0, map[string]string{"SUDO_UID": "-1", "SUDO_GID": "4294967296"}, 1000, 1000},
		"not even numbers": {0, 0, map[string]string{"SUDO_UID": "x", "SUDO_GID": ""}, 1000, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			uid, gid := Person(test.uid, test.gid, environment(test.env))
			if uid != test.wantUID || gid != test.wantGID {
				t.Errorf("%d:%d, want %d:%d", uid, gid, test.wantUID, test.wantGID)
			}
		})
	}
}

func TestSlug(t *testing.T) {
	for agent, want := range map[string]string{
		"reviewer": "reviewer", "Code Review": "code-review", "a__b..c": "a-b-c", "-x-": "x", "ünï": "n", "…": "agent",
		strings.Repeat("a", 39) + "-b": strings.Repeat("a", 39), "x.gateway": "x-gateway",
	} {
		if got := Slug(agent); got != want {
			t.Errorf("%q: %q, want %q", agent, got, want)
		}
	}
}

func TestOpenUploads(t *testing.T) {
	for host, want := range map[string]bool{
		"github.com": true, "gist.github.com": true, "*.github.com": true, "GitHub.com:443": true, "*.com": true,
		"notgithub.com": false, "raw.githubusercontent.com": false, "example.com": false, "[2001:db8::1]:443": false,
	} {
		if got := takesUploads(hostOf(host)); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
}

// useOf is where the harness needs its credential.
func useOf(name string) *policy.Secret {
	row, _ := harness.Named("claude")
	for _, token := range row.Tokens {
		if token.Name == name {
			use := token.Use
			use.Name = name
			return &use
		}
	}
	return nil
}

// renewOf is where the harness renews it.
func renewOf(name string) *environ.Renew {
	row, _ := harness.Named("claude")
	for _, token := range row.Tokens {
		if token.Name == name {
			return token.Renew
		}
	}
	return nil
}
