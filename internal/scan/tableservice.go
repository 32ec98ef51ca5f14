package scan

// services are everything else that is called over HTTP.
func services() []Row {
	const (
		slack   = "https://api.slack.com/concepts/token-types"
		stripe  = "https://docs.stripe.com/keys"
		shopify = "https://shopify.dev/changelog/app-secret-key-length-has-increased"
		sentry  = "https://docs.sentry.io/account/auth-tokens/"
		square  = "https://developer.squareup.com/docs/build-basics/access-tokens"
		linear  = "https://linear.app/developers/graphql"
		grafana = "https://grafana.com/docs/grafana/latest/administration/service-accounts/"
	)
	return []Row{
		{ID: "slack-bot", Provider: "Slack", Source: slack, Keyword: "xoxb-", Form: "d9-14 '-' d9-14 '-' w20-32", Entropy: 3},
		{ID: "slack-user", Provider: "Slack", Source: slack, Keyword: "xoxp-", Form: "d9-14 '-' d9-14 '-' d9-14 '-' w28-36", Entropy: 3},
		{ID: "slack-config", Provider: "Slack", Source: slack, Keyword: "xoxe.", Form: "t60-250", Entropy: 3},
		{ID: "slack-app", Provider: "Slack", Source: slack, Keyword: "xapp-", Form: "d1 '-' u9-14 '-' d10-16 '-' x60-70", Entropy: 3},
		{
			ID: "slack-webhook", Provider: "Slack", Keyword: "hooks.slack.com/services/T", Form: "u8-12 '/B' u8-12 '/' w24", Entropy: 3,
			Source: "https://api.slack.com/messaging/webhooks",
		},
		{ID: "stripe-secret", Provider: "Stripe", Source: stripe, Keyword: "sk_live_", Form: "w24-120", Entropy: 3.5},
		{ID: "stripe-restricted", Provider: "Stripe", Source: stripe, Keyword: "rk_live_", Form: "w24-120", Entropy: 3.5},
		{
			ID: "stripe-webhook", Provider: "Stripe", Keyword: "whsec_", Form: "b32-64", Entropy: 3.5,
			Source: "https://docs.stripe.com/webhooks/signature",
		},
		{ID: "shopify-admin", Provider: "Shopify", Source: shopify, Keyword: "shpat_", Form: "x32", Entropy: 3},
		{ID: "shopify-custom", Provider: "Shopify", Source: shopify, Keyword: "shpca_", Form: "x32", Entropy: 3},
		{ID: "shopify-secret", Provider: "Shopify", Source: shopify, Keyword: "shpss_", Form: "x32", Entropy: 3},
		{ID: "square-token", Provider: "Square", Source: square, Keyword: "sq0atp-", Form: "t22", Entropy: 3},
		{ID: "square-secret", Provider: "Square", Source: square, Keyword: "sq0csp-", Form: "t43", Entropy: 3.5},
		{
			ID: "sendgrid-key", Provider: "SendGrid", Keyword: "SG.", Form: "t22 '.' t43", Entropy: 4,
			Source: "https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys",
		},
		{
			ID: "brevo-key", Provider: "Brevo", Keyword: "xkeysib-", Form: "x64 '-' w16", Entropy: 3,
			Source: "https://developers.brevo.com/docs/getting-started",
		},
		{
			ID: "telegram-bot", Provider: "Telegram", Keyword: ":AA", Inside: true, Form: "t33", Entropy: 4,
			Source: "https://core.telegram.org/bots/api#authorizing-your-bot",
		},
		{ID: "sentry-organisation", Provider: "Sentry", Source: sentry, Keyword: "sntrys_", Form: "m80-400", Entropy: 4},
		{ID: "sentry-user", Provider: "Sentry", Source: sentry, Keyword: "sntryu_", Form: "x64", Entropy: 3},
		{ID: "grafana-account", Provider: "Grafana", Source: grafana, Keyword: "glsa_", Form: "w32 '_' x8", Entropy: 3.5},
		{
			ID: "grafana-cloud", Provider: "Grafana", Keyword: "glc_", Form: "m40-400", Entropy: 4,
			Source: "https://grafana.com/docs/grafana-cloud/security-and-account-management/authentication-and-permissions/access-policies/",
		},
		{
			ID: "newrelic-user", Provider: "New Relic", Keyword: "NRAK-", Form: "u27", Entropy: 3,
			Source: "https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/",
		},
		{
			ID: "postman-key", Provider: "Postman", Keyword: "PMAK-", Form: "x24 '-' x34", Entropy: 3,
			Source: "https://learning.postman.com/docs/developer/postman-api/authentication/",
		},
		{ID: "linear-key", Provider: "Linear", Source: linear, Keyword: "lin_api_", Form: "w40", Entropy: 3.5},
		{ID: "linear-oauth", Provider: "Linear", Source: linear, Keyword: "lin_oauth_", Form: "x64", Entropy: 3},
		{
			ID: "notion-token", Provider: "Notion", Keyword: "ntn_", Form: "w46", Entropy: 4,
			Source: "https://developers.notion.com/page/changelog",
		},
		{
			ID: "figma-token", Provider: "Figma", Keyword: "figd_", Form: "t40-43", Entropy: 3.5,
			Source: "https://www.figma.com/developers/api#access-tokens",
		},
		{
			ID: "typeform-token", Provider: "Typeform", Keyword: "tfp_", Form: "t40-66", Entropy: 3.5,
			Source: "https://www.typeform.com/developers/get-started/personal-access-token/",
		},
		{
			ID: "posthog-key", Provider: "PostHog", Keyword: "phx_", Form: "w43-50", Entropy: 3.5,
			Source: "https://posthog.com/docs/api",
		},
		{
			ID: "buildkite-token", Provider: "Buildkite", Keyword: "bkua_", Form: "x40", Entropy: 3,
			Source: "https://buildkite.com/docs/apis/managing-api-tokens",
		},
		{
			ID: "circleci-token", Provider: "CircleCI", Keyword: "CCIPAT_", Form: "w22 '_' x40", Entropy: 3,
			Source: "https://circleci.com/docs/managing-api-tokens/",
		},
		{
			ID: "onepassword-account", Provider: "1Password", Keyword: "ops_eyJ", Form: "t200-480", Entropy: 4, Open: true,
			Source: "https://developer.1password.com/docs/service-accounts/security/",
		},
		{
			ID: "dropbox-token", Provider: "Dropbox", Keyword: "sl.u.", Form: "t100-480", Entropy: 4, Open: true,
			Source: "https://developers.dropbox.com/oauth-guide",
		},
		{
			ID: "easypost-key", Provider: "EasyPost", Keyword: "EZAK", Form: "w54", Entropy: 4,
			Source: "https://docs.easypost.com/docs/authentication",
		},
		{
			ID: "contentful-token", Provider: "Contentful", Keyword: "CFPAT-", Form: "t43", Entropy: 3.5,
			Source: "https://www.contentful.com/developers/docs/references/authentication/",
		},
	}
}
