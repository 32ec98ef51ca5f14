package harness_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"claude-bottle/internal/harness"
	"claude-bottle/internal/provision"
)

func claude(t *testing.T) harness.Harness {
	t.Helper()
	h, ok := harness.Named("claude")
	if !ok {
		t.Fatalf("no claude in %v", harness.Names())
	}
	return h
}

func TestNamed(t *testing.T) {
	for _, name := range harness.Names() {
		if h, ok := harness.Named(name); !ok || h.Name != name {
			t.Errorf("Named(%q) = %q, %t", name, h.Name, ok)
		}
	}
	if _, ok := harness.Named("bash"); ok {
		t.Error(`Named("bash") found a row`)
	}
}

func TestClaudeArgv(t *testing.T) {
	for _, test := range []struct {
		name  string
		start harness.Start
		want  string
	}{
		{"bare", harness.Start{}, "claude --dangerously-skip-permissions"},
		{
			"with a role",
			harness.Start{Home: "/home/node", HasPrompt: true},
			"claude --dangerously-skip-permissions --append-system-prompt-file /home/node/.claude-bottle-prompt.txt",
		},
		{
			"remote control never swallows an argument",
			harness.Start{RemoteControl: true, Args: []string{"word"}},
			"claude --remote-control --dangerously-skip-permissions word",
		},
		{
			"a prompt may look like an option",
			harness.Start{Once: "--version", Args: []string{"--allowedTools", "Bash"}},
			"claude --dangerously-skip-permissions --allowedTools Bash --print -- --version",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := strings.Join(claude(t).Argv(test.start), " ")
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestClaudeReady(t *testing.T) {
	files, env := claude(t).Ready(harness.Setup{
		Home: "/home/node", Workspace: "/home/node/work space", Prompt: "You review.",
		GitName: "Ada", Token: "CLAUDE_CODE_OAUTH_TOKEN",
	})
	var paths []string
	for _, f := range files {
		paths = append(paths, f.Path)
		if f.Root != provision.Home {
			t.Errorf("%s is below %s", f.Path, f.Root)
		}
	}
	want := []string{
		".gitconfig", ".claude.json", ".claude/settings.json", ".claude/CLAUDE.md", ".claude-bottle-prompt.txt",
	}
	if diff := cmp.Diff(want, paths); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	var state struct {
		Projects map[string]struct{ HasTrustDialogAccepted bool }
	}
	read(t, files, ".claude.json", &state)
	if !state.Projects["/home/node/work space"].HasTrustDialogAccepted {
		t.Errorf("the workspace is not trusted: %+v", state)
	}
	if prompt := file(t, files, ".claude-bottle-prompt.txt"); string(prompt.Data) != "You review." || prompt.Mode != 0o600 {
		t.Errorf("prompt file: %o %q", prompt.Mode, prompt.Data)
	}
	if len(env) != 1 || env[0].Name != "DISABLE_AUTOUPDATER" || env[0].Value != "1" {
		t.Errorf("env: %+v", env)
	}
}

// An API key under Claude Code's own name would be asked about, and the
// answer would write a part of it to a file.
func TestClaudeAPIKeyIsPrintedByAHelper(t *testing.T) {
	h := claude(t)
	i := slices.IndexFunc(h.Tokens, func(token harness.Token) bool { return token.From == "ANTHROPIC_API_KEY" })
	name := h.Tokens[i].Name
	if name == "ANTHROPIC_API_KEY" {
		t.Fatal("the key has the name that Claude Code asks about")
	}
	var settings struct{ APIKeyHelper string }
	files, _ := h.Ready(harness.Setup{Token: name})
	read(t, files, ".claude/settings.json", &settings)
	cmd := exec.CommandContext(t.Context(), "sh", "-c", settings.APIKeyHelper)
	cmd.Env = append(os.Environ(), name+"=the key")
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "the key" {
		t.Errorf("%q says %q, %v", settings.APIKeyHelper, out, err)
	}

	settings.APIKeyHelper = ""
	files, _ = h.Ready(harness.Setup{Token: "CLAUDE_CODE_OAUTH_TOKEN"})
	read(t, files, ".claude/settings.json", &settings)
	if settings.APIKeyHelper != "" {
		t.Errorf("a helper beside a token: %q", settings.APIKeyHelper)
	}
}

func TestClaudeNoteSaysWhatARefusalIs(t *testing.T) {
	files, _ := claude(t).Ready(harness.Setup{})
	note := string(file(t, files, ".claude/CLAUDE.md").Data)
	for _, want := range []string{"403", "claude-bottle", "person", "manifest"} {
		if !strings.Contains(note, want) {
			t.Errorf("the note lacks %q", want)
		}
	}
}

func TestCommand(t *testing.T) {
	argv := []string{"bash", "-l"}
	h := harness.Command(argv)
	argv[0] = "changed"
	got := h.Argv(harness.Start{Args: []string{"-c", "true"}, HasPrompt: true, Home: "/home/node"})
	if want := []string{"bash", "-l", "-c", "true"}; !slices.Equal(got, want) {
		t.Errorf("argv = %q, want %q", got, want)
	}
	files, env := h.Ready(harness.Setup{Home: "/home/node", Prompt: "role"})
	if len(files) != 1 || files[0].Path != ".gitconfig" || len(env) != 0 || len(h.Egress) != 0 || len(h.Tokens) != 0 || h.RemoteControl || h.Once {
		t.Errorf("a plain command brings something: %v %v %+v", files, env, h)
	}
}

// git itself reads the file back.
func TestGitConfig(t *testing.T) {
	for _, name := range []string{
		"Ada Lovelace", `quote " and \ backslash`, "# not; a comment", " edges ", "Zoë Ålborg", "two\nlines\t[core]",
	} {
		files, _ := harness.Command(nil).Ready(harness.Setup{GitName: name, GitMail: "ada@example.com"})
		path := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(path, file(t, files, ".gitconfig").Data, 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), "git", "config", "-z", "-f", path, "--list").Output()
		if err != nil {
			t.Fatal(err)
		}
		if want := "http.version\nHTTP/1.1\x00user.name\n" + name + "\x00user.email\nada@example.com\x00"; string(out) != want {
			t.Errorf("git reads %q, want %q", out, want)
		}
	}
}

func file(t *testing.T, files []provision.File, path string) provision.File {
	t.Helper()
	i := slices.IndexFunc(files, func(f provision.File) bool { return f.Path == path })
	if i < 0 {
		t.Fatalf("no file %s", path)
	}
	return files[i]
}

func read(t *testing.T, files []provision.File, path string, into any) {
	t.Helper()
	if err := json.Unmarshal(file(t, files, path).Data, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
