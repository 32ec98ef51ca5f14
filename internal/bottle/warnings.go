package bottle

import (
	"fmt"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

// openUploads are hosts where anyone who has an account, or none, can leave
// data for others to fetch: an allowed one is a way out for whatever the
// agent can read. A name stands for every name below it too.
var openUploads = []string{
	"0x0.st", "amazonaws.com", "api.anthropic.com", "api.openai.com", "azurewebsites.net", "blob.core.windows.net",
	"bitbucket.org", "claude.ai", "cloudflarestorage.com", "codeberg.org", "crates.io", "discord.com", "dropbox.com",
	"dropboxapi.com", "firebaseio.com", "githubusercontent.com", "github.com", "gitlab.com", "googleapis.com",
	"hastebin.com", "hooks.slack.com", "huggingface.co", "ngrok.io", "ngrok-free.app", "pastebin.com",
	"pages.dev", "upload.pypi.org", "requestbin.com", "rubygems.org", "sentry.io", "transfer.sh", "trycloudflare.com",
	"telegram.org", "vercel.app", "webhook.site", "workers.dev",
}

// readOnly are names below those that only hand out.
var readOnly = []string{"raw.githubusercontent.com", "static.crates.io", "index.crates.io"}

// specWarnings says, one line each, what the agent could misuse.
func specWarnings(env []environ.Entry, egress policy.Egress) []string {
	var warnings []string
	for _, entry := range env {
		if entry.Kind != environ.Literal {
			warnings = append(warnings, "env: the secret "+entry.Name+" is readable inside the bottle")
		}
	}
	var uploads []string
	for _, allow := range egress.Allow {
		host := hostOf(allow.Host)
		if strings.HasPrefix(host, "*.") {
			warnings = append(warnings, fmt.Sprintf("egress: %s allows every name below %s (%s)", allow.Host, host[2:], allow.Source))
		}
		if takesUploads(host) {
			uploads = append(uploads, allow.Host)
		}
	}
	if len(uploads) > 0 {
		warnings = append(warnings, "egress: anyone's uploads are taken by "+strings.Join(uploads, ", ")+
			": what the agent can read, it can leave there")
	}
	for _, private := range egress.Private {
		warnings = append(warnings, fmt.Sprintf("egress: allowed names may lead to %s, which is not public", private))
	}
	if egress.Proxy != "" {
		warnings = append(warnings, "egress: the gateway goes through "+withoutUser(egress.Proxy)+", which sees what it sends")
	}
	return warnings
}

// takesUploads says whether an allowed name, a wildcard included, covers a
// host of the table.
func takesUploads(host string) bool {
	name, wildcard := strings.CutPrefix(host, "*.")
	for _, known := range readOnly {
		if name == known {
			return false
		}
	}
	for _, known := range openUploads {
		if name == known || strings.HasSuffix(name, "."+known) || wildcard && strings.HasSuffix(known, "."+name) {
			return true
		}
	}
	return false
}

// hostOf is an allowlist entry's host in lower case, without its port.
func hostOf(entry string) string {
	host := strings.ToLower(strings.TrimSuffix(entry, "."))
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.Contains(host[:i], ":") {
		host = host[:i]
	}
	return strings.TrimSuffix(host, ".")
}
