package broker

import (
	"slices"
	"strings"
)

// Minting is paths of one kind of host that give out credentials, or take a
// key that is one from then on: with a secret that may do that, an agent could
// get another that nobody brokers. No secret is used there.
type Minting struct {
	Hosts  []string // in which "*" is anything; empty for a form that any host may serve
	Paths  []string // compared without case
	Source string
}

// MintingTable is what is known. A host that is not in it is limited by an
// entry's paths alone, and a plan should say so where an entry has none.
func MintingTable() []Minting {
	return append(append(mintingForges(), mintingClouds()...), mintingAnywhere()...)
}

// mintingForges are hosts of code.
func mintingForges() []Minting {
	return []Minting{
		{
			Hosts: []string{"api.github.com"},
			Paths: []string{
				"/app/installations/*/access_tokens", "/app/**/token*", "/applications/**", "/app-manifests/**",
				"/authorizations/**", "/user/keys/**", "/user/gpg_keys/**", "/user/ssh_signing_keys/**",
				"/repos/*/*/keys/**", "/**/actions/runners/registration-token", "/**/actions/runners/remove-token",
				"/**/actions/runners/generate-jitconfig", "/scim/**", "/user/codespaces/**",
			},
			Source: "https://docs.github.com/en/rest",
		},
		{
			Hosts: []string{"github.com"}, Paths: []string{"/login/**", "/settings/**", "/session/**", "/sessions/**"},
			Source: "https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps",
		},
		{
			Hosts: []string{"gitlab.com"},
			Paths: []string{
				"/oauth/**", "/api/v4/**/access_tokens/**", "/api/v4/personal_access_tokens/**", "/api/v4/user/personal_access_tokens/**",
				"/api/v4/user/keys/**", "/api/v4/user/gpg_keys/**", "/api/v4/users/*/keys/**", "/api/v4/users/*/impersonation_tokens/**",
				"/api/v4/**/deploy_keys/**", "/api/v4/**/deploy_tokens/**", "/api/v4/user/runners/**", "/api/v4/runners/**",
				"/api/v4/**/triggers/**", "/api/v4/applications/**", "/-/user_settings/**", "/-/profile/**",
			},
			Source: "https://docs.gitlab.com/api/rest/",
		},
		{
			Hosts:  []string{"api.bitbucket.org"},
			Paths:  []string{"/2.0/users/*/ssh-keys/**", "/2.0/users/*/gpg-keys/**", "/2.0/repositories/*/*/deploy-keys/**", "/2.0/**/pipelines-config/ssh/**"},
			Source: "https://developer.atlassian.com/cloud/bitbucket/rest/intro/",
		},
		{Hosts: []string{"bitbucket.org"}, Paths: []string{"/site/oauth2/**", "/account/**"}, Source: "https://support.atlassian.com/bitbucket-cloud/docs/use-oauth-on-bitbucket-cloud/"},
		{
			Hosts: []string{"codeberg.org", "gitea.com"},
			Paths: []string{
				"/login/**", "/user/settings/**", "/api/v1/users/*/tokens/**", "/api/v1/user/keys/**", "/api/v1/user/gpg_keys/**",
				"/api/v1/user/applications/**", "/api/v1/repos/*/*/keys/**", "/api/v1/**/actions/runners/registration-token",
			},
			Source: "https://docs.gitea.com/development/api-usage",
		},
	}
}

// mintingClouds are model APIs, clouds and services.
func mintingClouds() []Minting {
	return []Minting{
		{
			Hosts:  []string{"api.anthropic.com", "platform.claude.com", "console.anthropic.com", "claude.ai"},
			Paths:  []string{"/v1/organizations/**", "/v1/oauth/**", "/api/oauth/claude_cli/create_api_key", "/api/oauth/*/api_keys/**", "/oauth/**"},
			Source: "https://docs.anthropic.com/en/api/administration-api",
		},
		{
			Hosts: []string{"api.openai.com"}, Paths: []string{"/v1/organization/**", "/v1/realtime/client_secrets", "/v1/realtime/*sessions", "/v1/chatkit/sessions/**"},
			Source: "https://platform.openai.com/docs/api-reference/administration",
		},
		{Hosts: []string{"openrouter.ai"}, Paths: []string{"/api/v1/keys/**", "/api/v1/auth/**", "/api/v1/credits/**"}, Source: "https://openrouter.ai/docs/features/provisioning-api-keys"},
		{Hosts: []string{"generativelanguage.googleapis.com"}, Paths: []string{"/*/auth_tokens/**", "/*/authTokens/**"}, Source: "https://ai.google.dev/gemini-api/docs/ephemeral-tokens"},
		{
			Hosts: []string{"sts.amazonaws.com", "sts.*.amazonaws.com", "sts-fips.*.amazonaws.com", "iam.amazonaws.com", "cognito-identity.*.amazonaws.com"}, Paths: []string{"/**"},
			Source: "https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html",
		},
		{Hosts: []string{"*.amazonaws.com"}, Paths: []string{"/federation/**", "/assignment/**", "/oauth/**", "/token/**"}, Source: "https://docs.aws.amazon.com/singlesignon/latest/PortalAPIReference/"},
		{
			Hosts: []string{"iamcredentials.googleapis.com", "sts.googleapis.com", "oauth2.googleapis.com", "accounts.google.com"}, Paths: []string{"/**"},
			Source: "https://cloud.google.com/iam/docs/reference/credentials/rest",
		},
		{
			Hosts: []string{"iam.googleapis.com", "apikeys.googleapis.com"}, Paths: []string{"/v*/projects/*/serviceAccounts/*/keys/**", "/v*/projects/*/locations/*/keys/**"},
			Source: "https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts.keys",
		},
		{Hosts: []string{"login.microsoftonline.com"}, Paths: []string{"/**"}, Source: "https://learn.microsoft.com/entra/identity-platform/v2-protocols"},
		{Hosts: []string{"graph.microsoft.com"}, Paths: []string{"/*/applications/**", "/*/servicePrincipals/**"}, Source: "https://learn.microsoft.com/graph/api/application-addpassword"},
		{
			Hosts: []string{"management.azure.com"}, Paths: []string{"/**/listKeys", "/**/regenerateKey*", "/**/listSecrets", "/**/listCredentials", "/**/listConnectionStrings", "/**/listAccountSas", "/**/listServiceSas", "/**/generateSasToken"},
			Source: "https://learn.microsoft.com/rest/api/storagerp/storage-accounts/list-keys",
		},
		{
			Hosts: []string{"api.cloudflare.com"}, Paths: []string{"/client/v4/user/tokens/**", "/client/v4/accounts/*/tokens/**", "/client/v4/user/api_key"},
			Source: "https://developers.cloudflare.com/api/resources/user/subresources/tokens/",
		},
		{Hosts: []string{"api.digitalocean.com"}, Paths: []string{"/v2/account/keys/**", "/v2/registry/docker-credentials", "/v2/spaces/keys/**"}, Source: "https://docs.digitalocean.com/reference/api/"},
		{Hosts: []string{"api.vercel.com"}, Paths: []string{"/v*/user/tokens/**"}, Source: "https://vercel.com/docs/rest-api/authentication"},
		{Hosts: []string{"api.netlify.com"}, Paths: []string{"/oauth/**", "/api/v1/oauth/**", "/api/v1/deploy_keys/**"}, Source: "https://docs.netlify.com/api/get-started/"},
		{Hosts: []string{"api.heroku.com"}, Paths: []string{"/oauth/**", "/account/keys/**"}, Source: "https://devcenter.heroku.com/articles/platform-api-reference"},
		{Hosts: []string{"app.terraform.io"}, Paths: []string{"/api/v2/**/authentication-token*", "/api/v2/authentication-tokens/**"}, Source: "https://developer.hashicorp.com/terraform/cloud-docs/api-docs/user-tokens"},
		{Hosts: []string{"slack.com"}, Paths: []string{"/api/oauth.*", "/api/openid.*", "/api/apps.*", "/api/tooling.tokens.*"}, Source: "https://api.slack.com/methods"},
		{Hosts: []string{"api.stripe.com"}, Paths: []string{"/v1/ephemeral_keys/**", "/v1/webhook_endpoints/**", "/v1/apps/secrets/**"}, Source: "https://docs.stripe.com/api"},
		{Hosts: []string{"sentry.io"}, Paths: []string{"/api/0/api-tokens/**", "/api/0/organizations/*/org-auth-tokens/**", "/api/0/**/keys/**"}, Source: "https://docs.sentry.io/api/"},
	}
}

// mintingAnywhere are paths by which a kind of server is known wherever it is:
// registries, which people host themselves, and Vault.
func mintingAnywhere() []Minting {
	return []Minting{
		{Paths: []string{"/**/-/npm/v*/tokens/**", "/**/-/user/**", "/**/-/v*/login/**", "/**/-/npm/v*/user/**", "/**/-/npm/v*/oidc/**"}, Source: "npm, registry API: tokens, login, profile"},
		{Paths: []string{"/_/oidc/**", "/manage/account/**"}, Source: "Warehouse, trusted publishing: mint-token"},
		{Paths: []string{"/api/v1/api_key/**", "/api/v1/profile/**"}, Source: "RubyGems guides, API key"},
		{Paths: []string{"/api/v1/me/tokens/**"}, Source: "Cargo, registry web API: tokens"},
		{Paths: []string{"/v2/users/login/**", "/v2/access-tokens/**", "/v2/auth/token/**", "/v2/orgs/*/access-tokens/**"}, Source: "Docker, Hub API: authentication, access tokens"},
		{Paths: []string{"/artifactory/api/security/**", "/access/api/v*/tokens/**", "/access/api/v*/oidc/**"}, Source: "JFrog REST APIs: access tokens"},
		{Paths: []string{"/service/rest/**/security/**", "/service/rest/internal/**"}, Source: "Sonatype Nexus, REST API: security"},
		{Paths: []string{"/v1/auth/**", "/v1/sys/**", "/v1/identity/oidc/token/**"}, Source: "HashiCorp Vault, HTTP API: auth methods, system backend"},
	}
}

// compiledMinting is one row of the table with its patterns read.
type compiledMinting struct {
	hosts  []string
	paths  []pathPattern
	source string
}

// compileMinting reads the table; its patterns are ours, so a bad one is
// found by TestMintingTable and not by a person.
func compileMinting(table []Minting) ([]compiledMinting, error) {
	var all []compiledMinting
	for _, m := range table {
		row := compiledMinting{hosts: m.Hosts, source: m.Source}
		for _, text := range m.Paths {
			path, err := parsePath(strings.ToLower(text))
			if err != nil {
				return nil, err
			}
			row.paths = append(row.paths, path)
		}
		all = append(all, row)
	}
	return all, nil
}

// minting says whether a path gives out credentials, read in either way, and
// where that is written.
func (b *Broker) minting(host string, readings ...[]string) (source string, ok bool) {
	for _, row := range b.mintings {
		if len(row.hosts) > 0 && !slices.ContainsFunc(row.hosts, func(p string) bool { return glob(p, host) }) {
			continue
		}
		for _, segments := range readings {
			folded := make([]string, len(segments))
			for i, s := range segments {
				folded[i] = strings.ToLower(s)
			}
			for _, p := range row.paths {
				if segments != nil && p.match(folded) {
					return row.source, true
				}
			}
		}
	}
	return "", false
}
