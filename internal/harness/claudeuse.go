package harness

import (
	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

// claudeUse says where Claude Code needs its credential: for the model, and for
// what it asks about the account that it works for. What is not here (files,
// batches, shared transcripts, feedback, other services of the same host) it
// works without. It asks some things before it has a credential, so requests
// may go without.
func claudeUse() policy.Secret {
	return policy.Secret{
		Hosts: []string{"api.anthropic.com"},
		Paths: []string{
			"/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/models/*", "/v1/mcp_servers",
			"/api/oauth/profile", "/api/oauth/usage", "/api/oauth/account/settings",
			"/api/oauth/claude_cli/roles", "/api/oauth/claude_cli/client_data",
			"/api/claude_cli_profile", "/api/claude_cli/bootstrap", "/api/claude_code_grove", "/api/claude_code_penguin_mode",
			"/api/claude_code/settings", "/api/claude_code/policy_limits", "/api/claude_code/metrics",
			"/api/claude_code/organizations/metrics_enabled", "/api/claude_code/notification/preferences",
			"/api/event_logging/**", "/api/eval/*", "/api/organization/claude_code_first_token_date",
		},
		Anonymous: true,
	}
}

// claudeRemote are the paths by which a session is steered from elsewhere.
func claudeRemote() []string {
	return []string{"/v1/environments/bridge/**", "/v1/environments/*/**", "/v1/sessions/**", "/v1/code/sessions/**"}
}

// claudeRenew is where Claude Code renews its login, as what it is known by
// there. Version 2.1.330 has these.
func claudeRenew() *environ.Renew {
	return &environ.Renew{URL: "https://platform.claude.com/v1/oauth/token", ClientID: "9d1c250a-e61b-44d9-88ed-5944d1962f5e"}
}
