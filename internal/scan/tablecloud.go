package scan

// models serve language models.
func models() []Row {
	const anthropic = "https://docs.anthropic.com/en/api/admin-api/apikeys/get-api-key"
	openai := func(id, keyword string) Row {
		return Row{
			ID: id, Provider: "OpenAI", Keyword: keyword, Form: "t40-200", Entropy: 4, Check: holds("T3BlbkFJ"),
			Source: "https://platform.openai.com/docs/api-reference/authentication",
		}
	}
	return []Row{
		{ID: "anthropic-key", Provider: "Anthropic", Source: anthropic, Keyword: "sk-ant-api", Form: "d2 '-' t80-120", Entropy: 4},
		{ID: "anthropic-admin", Provider: "Anthropic", Source: anthropic, Keyword: "sk-ant-admin", Form: "d2 '-' t80-120", Entropy: 4},
		{
			ID: "anthropic-oauth", Provider: "Anthropic", Keyword: "sk-ant-oat", Form: "d2 '-' t80-120", Entropy: 4,
			Source: "https://docs.anthropic.com/en/docs/claude-code/iam",
		},
		{
			ID: "anthropic-refresh", Provider: "Anthropic", Keyword: "sk-ant-ort", Form: "d2 '-' t80-120", Entropy: 4,
			Source: "https://docs.anthropic.com/en/docs/claude-code/iam",
		},
		openai("openai-project", "sk-proj-"),
		openai("openai-service", "sk-svcacct-"),
		openai("openai-admin", "sk-admin-"),
		{
			ID: "openai-user", Provider: "OpenAI", Keyword: "T3BlbkFJ", Inside: true, Form: "w20", Entropy: 3.5,
			Source: "https://platform.openai.com/docs/api-reference/authentication",
		},
		{
			ID: "openrouter-key", Provider: "OpenRouter", Keyword: "sk-or-v1-", Form: "x64", Entropy: 3,
			Source: "https://openrouter.ai/docs/api-reference/authentication",
		},
		{
			ID: "huggingface-token", Provider: "Hugging Face", Keyword: "hf_", Form: "a34", Entropy: 3.5,
			Source: "https://huggingface.co/docs/hub/security-tokens",
		},
		{
			ID: "groq-key", Provider: "Groq", Keyword: "gsk_", Form: "w52", Entropy: 4,
			Source: "https://console.groq.com/docs/quickstart",
		},
		{
			ID: "xai-key", Provider: "xAI", Keyword: "xai-", Form: "w70-90", Entropy: 4,
			Source: "https://docs.x.ai/docs/tutorial",
		},
		{
			ID: "perplexity-key", Provider: "Perplexity", Keyword: "pplx-", Form: "w48", Entropy: 4,
			Source: "https://docs.perplexity.ai/guides/getting-started",
		},
		{
			ID: "langsmith-key", Provider: "LangSmith", Keyword: "lsv2_", Form: "a2 '_' x32 '_' x10", Entropy: 3,
			Source: "https://docs.smith.langchain.com/administration/how_to_guides/organization_management/create_account_api_key",
		},
	}
}

// clouds run machines, and what runs on them.
func clouds() []Row {
	const (
		aws   = "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html"
		vault = "https://developer.hashicorp.com/vault/docs/concepts/tokens"
		ocean = "https://docs.digitalocean.com/reference/api/create-personal-access-token/"
	)
	return []Row{
		{ID: "aws-key-id", Provider: "AWS", Source: aws, Keyword: "AKIA", Form: "u16", Entropy: 2.8},
		{ID: "aws-session-id", Provider: "AWS", Source: aws, Keyword: "ASIA", Form: "u16", Entropy: 2.8},
		{
			ID: "aws-secret", Provider: "AWS", Keyword: "aws_secret_access_key", Fold: true, Form: "s1-12 b40", Entropy: 3.5, Check: varied,
			Source: "https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html",
		},
		{
			ID: "aws-secret-json", Provider: "AWS", Keyword: "SecretAccessKey", Form: "s1-12 b40", Entropy: 3.5, Check: varied,
			Source: "https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html",
		},
		{
			ID: "google-api-key", Provider: "Google", Keyword: "AIza", Form: "t35", Entropy: 3.5,
			Source: "https://cloud.google.com/docs/authentication/api-keys",
		},
		{
			ID: "google-client-secret", Provider: "Google", Keyword: "GOCSPX-", Form: "t28", Entropy: 3.5,
			Source: "https://developers.google.com/identity/protocols/oauth2",
		},
		{
			ID: "google-access-token", Provider: "Google", Keyword: "ya29.", Form: "t60-480", Entropy: 4,
			Source: "https://cloud.google.com/docs/authentication/token-types",
		},
		{
			ID: "azure-storage-key", Provider: "Azure", Keyword: "AccountKey=", Form: "b86 '=='", Entropy: 4,
			Source: "https://learn.microsoft.com/azure/storage/common/storage-configure-connection-string",
		},
		{
			ID: "azure-shared-access", Provider: "Azure", Keyword: "SharedAccessKey=", Form: "b43 '='", Entropy: 4,
			Source: "https://learn.microsoft.com/azure/service-bus-messaging/service-bus-sas",
		},
		{ID: "digitalocean-personal", Provider: "DigitalOcean", Source: ocean, Keyword: "dop_v1_", Form: "x64", Entropy: 3},
		{ID: "digitalocean-oauth", Provider: "DigitalOcean", Source: ocean, Keyword: "doo_v1_", Form: "x64", Entropy: 3},
		{ID: "digitalocean-refresh", Provider: "DigitalOcean", Source: ocean, Keyword: "dor_v1_", Form: "x64", Entropy: 3},
		{ID: "vault-service", Provider: "HashiCorp Vault", Source: vault, Keyword: "hvs.", Form: "t24-200", Entropy: 3.5},
		{ID: "vault-batch", Provider: "HashiCorp Vault", Source: vault, Keyword: "hvb.", Form: "t100-400", Entropy: 4},
		{
			ID: "terraform-token", Provider: "HCP Terraform", Keyword: ".atlasv1.", Inside: true, Form: "t60-70", Entropy: 4, Open: true,
			Source: "https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens",
		},
		{
			ID: "pulumi-token", Provider: "Pulumi", Keyword: "pul-", Form: "x40", Entropy: 3,
			Source: "https://www.pulumi.com/docs/pulumi-cloud/access-management/access-tokens/",
		},
		{
			ID: "databricks-token", Provider: "Databricks", Keyword: "dapi", Form: "x32", Entropy: 3,
			Source: "https://docs.databricks.com/dev-tools/auth/pat",
		},
		{
			ID: "doppler-token", Provider: "Doppler", Keyword: "dp.pt.", Form: "w40-44", Entropy: 3.5,
			Source: "https://docs.doppler.com/reference/auth-token-formats",
		},
		{
			ID: "netlify-token", Provider: "Netlify", Keyword: "nfp_", Form: "w36", Entropy: 3.5,
			Source: "https://docs.netlify.com/api/get-started/",
		},
		{
			ID: "planetscale-token", Provider: "PlanetScale", Keyword: "pscale_tkn_", Form: "t32-64", Entropy: 3.5,
			Source: "https://planetscale.com/docs/concepts/service-tokens",
		},
		{
			ID: "planetscale-password", Provider: "PlanetScale", Keyword: "pscale_pw_", Form: "t32-64", Entropy: 3.5,
			Source: "https://planetscale.com/docs/concepts/connection-strings",
		},
		{
			ID: "supabase-token", Provider: "Supabase", Keyword: "sbp_", Form: "x40", Entropy: 3,
			Source: "https://supabase.com/docs/reference/api/introduction",
		},
		{
			ID: "tailscale-key", Provider: "Tailscale", Keyword: "tskey-", Form: "l4-10 '-' w8-20 '-' w20-50", Entropy: 3.5,
			Source: "https://tailscale.com/kb/1085/auth-keys",
		},
	}
}
