package harness

import (
	"encoding/json"
	"path"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/provision"
)

// promptFile holds the agent's role, below its home.
const promptFile = ".claude-bottle-prompt.txt"

// claudeNote tells the agent what a refusal of the gateway means. Claude Code
// reads it as the memory of the user it runs as.
const claudeNote = `# Network

You work in a sandbox (claude-bottle). It reaches only the hosts that its manifest allows, through a gateway. A
refusal (HTTP status 403 or a message that says "claude-bottle", a name that does not resolve, a connection that is
refused) means "not allowed here": do not look for a way around it. Tell the person which host you need and why; they
can add it to the manifest.
`

// The variables by which Claude Code gets its credential. It takes a token of
// a subscription by its own name. An API key under its own name, however, is
// asked about on the first interactive start, and the answer stores a part of
// the key in a file; a helper that prints the key is not asked about.
const (
	claudeToken  = "CLAUDE_CODE_OAUTH_TOKEN"
	claudeAPIKey = "CLAUDE_BOTTLE_API_KEY"
	// claudeScopes says what a token of the environment may do, which else is
	// to ask the model and nothing more.
	claudeScopes = "CLAUDE_CODE_OAUTH_SCOPES"
)

// claude is Claude Code. What its first start needs was found by watching
// version 2.1.330; test/e2e holds it to the version that is installed.
func claude() Harness {
	return Harness{
		Name: "claude",
		Egress: []string{
			"api.anthropic.com",
			"statsig.anthropic.com",
			"sentry.io",
			"claude.ai",
			"platform.claude.com",
			"downloads.claude.ai",
			"raw.githubusercontent.com",
		},
		Ready: claudeReady,
		Argv:  claudeArgv,
		Tokens: []Token{
			{From: "CLAUDE_BOTTLE_OAUTH_TOKEN", Name: claudeToken, Use: claudeUse(), Remote: claudeRemote(), Renew: claudeRenew(), Scopes: claudeScopes, Scope: "user:sessions:claude_code", Prefix: "sk-ant-oat"},
			{From: "ANTHROPIC_API_KEY", Name: claudeAPIKey, Use: claudeUse(), Prefix: "sk-ant-api"},
		},
		Login:         []string{"claude", "setup-token"},
		Others:        []string{"ANTHROPIC_", "CLAUDE_CODE_USE_"},
		BaseURL:       "ANTHROPIC_BASE_URL",
		RemoteControl: true,
		Once:          true,
		Package:       ClaudePackage(""),
	}
}

// ClaudePackage is Claude Code's, of a version or, when that is empty, of the one
// that is known to work. Its program is in the package for the machine's kind,
// which the main one depends on.
func ClaudePackage(version string) *Package {
	if version == "" {
		version = "2.1.330"
	}
	return &Package{
		Command: "claude", Name: "@anthropic-ai/claude-code", Version: version,
		Program: "node_modules/@anthropic-ai/claude-code-*/claude",
	}
}

func claudeArgv(s Start) []string {
	argv := []string{"claude"}
	if s.RemoteControl {
		// Its value is optional: an option has to follow, or the next
		// argument would become the session's name.
		argv = append(argv, "--remote-control")
	}
	argv = append(argv, "--dangerously-skip-permissions")
	if s.HasPrompt {
		argv = append(argv, "--append-system-prompt-file", path.Join(s.Home, promptFile))
	}
	argv = append(argv, s.Args...)
	if s.Once != "" {
		// After "--" a prompt may begin with a dash.
		argv = append(argv, "--print", "--", s.Once)
	}
	return argv
}

func claudeReady(s Setup) ([]provision.File, []environ.Entry) {
	settings := map[string]any{
		// No warning about --dangerously-skip-permissions: the bottle is the
		// sandbox that it asks for, which makes a second one needless.
		"skipDangerousModePermissionPrompt": true,
		"sandbox":                           map[string]any{"enabled": false},
	}
	if s.Token == claudeAPIKey {
		settings["apiKeyHelper"] = "printenv " + claudeAPIKey
	}
	state := map[string]any{
		"hasCompletedOnboarding": true, // else a wizard: theme, login, connection check
		"projects": map[string]any{ // by exact path, else the trust dialog
			s.Workspace: map[string]any{"hasTrustDialogAccepted": true},
		},
	}
	files := append(gitConfig(s),
		home(".claude.json", indent(state)),
		home(".claude/settings.json", indent(settings)),
		home(".claude/CLAUDE.md", []byte(claudeNote)),
	)
	if s.Prompt != "" {
		files = append(files, home(promptFile, []byte(s.Prompt)))
	}
	return files, []environ.Entry{
		// The image brings the version; an update would be lost with the run.
		{Name: "DISABLE_AUTOUPDATER", Kind: environ.Literal, Value: "1"},
	}
}

// home is a file that only the agent's user may read.
func home(path string, data []byte) provision.File {
	return provision.File{Root: provision.Home, Path: path, Mode: 0o600, Data: data}
}

// indent writes plain maps, which cannot fail.
func indent(v map[string]any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(data, '\n')
}
