package scan

import "slices"

// Table is every known form of a credential. Each row names who publishes it
// and where; a row without a checksum has a keyword or a length that ordinary
// text does not have. docs/secrets.md says how to add one.
//
// What has no form of its own, a password or forty hexadecimal digits, is not
// here: it is found when it is the run's own, and not otherwise.
func Table() []Row {
	return slices.Concat(forges(), packages(), models(), clouds(), services(), general())
}

// forges host code.
func forges() []Row {
	const (
		github = "https://github.blog/2021-04-05-behind-githubs-new-authentication-token-formats/"
		gitlab = "https://docs.gitlab.com/security/tokens/#token-prefixes"
	)
	hub := func(id, keyword string) Row {
		return Row{ID: id, Provider: "GitHub", Source: github, Keyword: keyword, Form: "w36", Check: crcBase62}
	}
	lab := func(id, keyword string) Row {
		return Row{ID: id, Provider: "GitLab", Source: gitlab, Keyword: keyword, Form: "t20-200 '.' l0-2 '.' l0-9", Entropy: 3}
	}
	plain := func(id, keyword string) Row {
		return Row{ID: id, Provider: "GitLab", Source: gitlab, Keyword: keyword, Form: "t20-200", Entropy: 3}
	}
	return []Row{
		hub("github-personal", "ghp_"),
		hub("github-oauth", "gho_"),
		hub("github-user", "ghu_"),
		hub("github-server", "ghs_"),
		{ID: "github-refresh", Provider: "GitHub", Source: github, Keyword: "ghr_", Form: "w36-76", Check: crcBase62},
		{
			ID: "github-fine-grained", Provider: "GitHub", Keyword: "github_pat_", Form: "w22 '_' w59", Entropy: 3.5,
			Source: "https://github.blog/changelog/2022-10-18-introducing-fine-grained-personal-access-tokens/",
		},
		plain("gitlab-personal", "glpat-"),
		lab("gitlab-routable", "glpat-"),
		plain("gitlab-deploy", "gldt-"),
		plain("gitlab-runner", "glrt-"),
		plain("gitlab-job", "glcbt-"),
		plain("gitlab-trigger", "glptt-"),
		plain("gitlab-feed", "glft-"),
		plain("gitlab-agent", "glagent-"),
		plain("gitlab-oauth", "gloas-"),
		{
			ID: "bitbucket-app", Provider: "Bitbucket", Keyword: "ATBB", Form: "w32", Entropy: 3.5,
			Source: "https://support.atlassian.com/bitbucket-cloud/docs/app-passwords/",
		},
		{
			ID: "atlassian-token", Provider: "Atlassian", Keyword: "ATATT3xFfGF0", Form: "m150-250", Entropy: 4,
			Source: "https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/",
		},
		{
			ID: "sourcegraph-token", Provider: "Sourcegraph", Keyword: "sgp_", Form: "x16 '_' x40", Entropy: 3,
			Source: "https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token",
		},
	}
}

// packages are registries and the tools around them.
func packages() []Row {
	return []Row{
		{
			ID: "npm-token", Provider: "npm", Keyword: "npm_", Form: "w36", Check: crcBase62,
			Source: "https://github.blog/2021-09-23-announcing-npms-new-access-token-format/",
		},
		{
			// A macaroon whose first packet is a location of eight bytes.
			ID: "pypi-token", Provider: "PyPI", Keyword: "pypi-AgEI", Form: "t60-480", Entropy: 4,
			Source: "PyPI's help, 'How can I use API tokens'; libmacaroons, doc/format.txt (version 2)",
		},
		{
			ID: "rubygems-key", Provider: "RubyGems", Keyword: "rubygems_", Form: "x48", Entropy: 3,
			Source: "RubyGems guides, 'API key scopes'",
		},
		{
			ID: "cargo-token", Provider: "crates registry", Keyword: "cioq", Form: "w31-32", Entropy: 4,
			Source: "rust-lang, crates service, src/util/token.rs",
		},
		{
			ID: "docker-personal", Provider: "Docker", Keyword: "dckr_pat_", Form: "t27", Entropy: 3.5,
			Source: "https://docs.docker.com/security/access-tokens/",
		},
		{
			ID: "docker-organisation", Provider: "Docker", Keyword: "dckr_oat_", Form: "t20-60", Entropy: 3.5,
			Source: "https://docs.docker.com/enterprise/security/access-tokens/",
		},
		{
			ID: "clojars-token", Provider: "Clojars", Keyword: "CLOJARS_", Form: "x60", Entropy: 3,
			Source: "Clojars wiki, 'Deploy Tokens'",
		},
		{
			ID: "artifactory-key", Provider: "JFrog", Keyword: "AKCp", Form: "w69-90", Entropy: 4,
			Source: "https://jfrog.com/help/r/jfrog-platform-administration-documentation/api-key",
		},
		{
			ID: "artifactory-reference", Provider: "JFrog", Keyword: "cmVmdGtuO", Form: "w55", Entropy: 4,
			Source: "https://jfrog.com/help/r/jfrog-platform-administration-documentation/reference-token",
		},
	}
}

// general are forms that belong to nobody.
func general() []Row {
	const pem = "RFC 7468, 10 and 11"
	block := func(id, label, source string) Row {
		return Row{ID: id, Provider: "any", Source: source, Keyword: "-----BEGIN " + label + "-----", Form: `s1-8 b40-64`, Open: true, Entropy: 3}
	}
	return []Row{
		block("private-key", "PRIVATE KEY", pem),
		block("private-key-encrypted", "ENCRYPTED PRIVATE KEY", pem),
		block("private-key-rsa", "RSA PRIVATE KEY", "RFC 8017, A.1.2; RFC 1421, 4.4"),
		block("private-key-ec", "EC PRIVATE KEY", "RFC 5915, 4"),
		block("private-key-dsa", "DSA PRIVATE KEY", "OpenSSL, dsa(1)"),
		block("private-key-ssh", "OPENSSH PRIVATE KEY", "OpenSSH, PROTOCOL.key"),
		{
			ID: "private-key-pgp", Provider: "any", Source: "RFC 9580, 6.2",
			Keyword: "-----BEGIN PGP PRIVATE KEY BLOCK-----", Form: "", Open: true,
		},
		{
			ID: "age-key", Provider: "age", Keyword: "AGE-SECRET-KEY-1", Form: "u58", Entropy: 3,
			Source: "https://github.com/C2SP/C2SP/blob/main/age.md",
		},
		{
			ID: "jwt", Provider: "any", Source: "RFC 7519; RFC 7515, 7.1", Keyword: "eyJh",
			Form: "t10-120 '.' t10-300 '.' t16-80", Open: true, Check: jsonWebToken,
		},
	}
}
