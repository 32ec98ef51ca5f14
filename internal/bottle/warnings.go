package bottle

import (
	"fmt"
	"slices"
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
		if entry.Kind != environ.Literal && !entry.Brokered() {
			warnings = append(warnings, "env: the secret "+entry.Name+" is readable inside the bottle")
		}
	}
	warnings = append(warnings, secretWarnings(egress)...)
	var uploads []string
	for _, allow := range allowed(egress) {
		host := hostOf(allow.Host)
		if strings.HasPrefix(host, "*.") {
			warnings = append(warnings, fmt.Sprintf("egress: %s allows every name below %s (%s)", allow.Host, host[2:], allow.by))
		}
		if allow.writes && takesUploads(host) && !slices.Contains(uploads, allow.Host) {
			uploads = append(uploads, allow.Host)
		}
		if allow.tcp {
			warnings = append(warnings, fmt.Sprintf("egress: %s is a tunnel in which nothing is seen (%s)", allow.Host, allow.by))
		}
	}
	warnings = append(warnings, splicedWarnings(egress)...)
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

// opening is one thing that an egress allows.
type opening struct {
	policy.Rule
	by     string
	writes bool // by methods that send
	tcp    bool
}

func allowed(e policy.Egress) []opening {
	var all []opening
	for _, allow := range e.Allow {
		all = append(all, opening{Rule: policy.Rule{Host: allow.Host}, by: allow.Source, writes: true})
	}
	for _, rule := range e.Rules {
		if rule.Deny {
			continue
		}
		o := opening{Rule: rule, by: rule.Source, tcp: rule.TCP, writes: len(rule.Methods) == 0}
		for _, method := range rule.Methods {
			o.writes = o.writes || method != "GET" && method != "HEAD"
		}
		if rule.Port != 0 {
			o.Host += fmt.Sprintf(":%d", rule.Port)
		}
		all = append(all, o)
	}
	return all
}

// shared are names under which anybody has a site of his own behind the same
// addresses and certificates.
var shared = []string{
	"akamaized.net", "azureedge.net", "azurefd.net", "cloudfront.net", "fastly.net", "github.io", "herokuapp.com", "netlify.app",
	"pages.dev", "vercel.app", "web.app", "workers.dev",
}

// splicedWarnings names allowed hosts of shared networks whose TLS is not
// opened: by another Host inside, somebody else's site there can be asked.
func splicedWarnings(e policy.Egress) []string {
	compiled, err := policy.Compile(e)
	if err != nil {
		return nil
	}
	var hosts []string
	for _, allow := range allowed(e) {
		host := hostOf(allow.Host)
		name := strings.TrimPrefix(host, "*.")
		if name != host {
			name = "any." + name
		}
		isShared := slices.ContainsFunc(shared, func(s string) bool { return strings.HasSuffix(name, "."+s) })
		d := compiled.Decide(policy.Request{Kind: policy.Connect, Host: name, Port: 443})
		if isShared && d.Allow && !d.Inspect && !slices.Contains(hosts, allow.Host) {
			hosts = append(hosts, allow.Host)
		}
	}
	if len(hosts) == 0 {
		return nil
	}
	return []string{"egress: TLS is not opened to " + strings.Join(hosts, ", ") +
		", which shares its addresses with strangers' sites: they may be reached through it (inspect: always prevents it)"}
}
