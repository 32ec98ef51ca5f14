package harness

import (
	"encoding/json"
	"slices"

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
			{From: "CLAUDE_BOTTLE_OAUTH_TOKEN", Name: "CLAUDE_CODE_OAUTH_TOKEN"},
			{From: "ANTHROPIC_API_KEY", Name: "ANTHROPIC_API_KEY"},
		},
		RemoteControl: true,
		Once:          true,
	}
}

func claudeArgv(s Start) []string {
	argv := []string{"claude", "--dangerously-skip-permissions"}
	if s.HasPrompt {
		argv = append(argv, "--append-system-prompt-file", s.Home+"/"+promptFile)
	}
	if s.RemoteControl {
		argv = append(argv, "--remote-control")
	}
	argv = slices.Concat(argv, s.Args)
	if s.Once != "" {
		argv = append(argv, "-p", s.Once)
	}
	return argv
}

func claudeReady(s Setup) ([]provision.File, []environ.Entry) {
	files := gitConfig(s)
	files = append(files,
		home(".claude.json", marshal(map[string]any{
			"hasCompletedOnboarding":        true,
			"bypassPermissionsModeAccepted": true,
			"projects": map[string]any{
				s.Workspace: map[string]any{"hasTrustDialogAccepted": true},
			},
		})),
		home(".claude/settings.json", marshal(map[string]any{
			"skipDangerousModePermissionPrompt": true,
		})),
		home(".claude/CLAUDE.md", []byte(claudeNote)),
	)
	if s.Prompt != "" {
		files = append(files, home(promptFile, []byte(s.Prompt)))
	}
	return files, []environ.Entry{
		{Name: "DISABLE_AUTOUPDATER", Kind: environ.Literal, Value: "1"},
	}
}

// home is a file that only the agent's user may read.
func home(path string, data []byte) provision.File {
	return provision.File{Root: provision.Home, Path: path, Mode: 0o600, Data: data}
}

// marshal writes plain maps, which cannot fail.
func marshal(v map[string]any) []byte {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err)
	}
	return append(data, '\n')
}
