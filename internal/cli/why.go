package cli

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/term"
)

type whyOptions struct {
	*App
	Agent  string
	URL    string
	Method string
	Format format
}

func newWhy(app *App) *cobra.Command {
	opts := &whyOptions{App: app}
	cmd := &cobra.Command{
		Use:   "why AGENT URL",
		Short: "Say which rule decides about a URL, without sending anything",
		Long: `Say whether an agent's bottle would reach a URL, and which rule decides. Nothing
is sent, no name is looked up: an allowed name that resolves to an address which
is not public is refused later, unless the manifest lists it as private.

The exit code is 0 when it is allowed and 1 when it is not.`,
		Example: `  claude-bottle why reviewer https://api.example.com/v1/items -X POST
  claude-bottle why reviewer example.com`,
		Args:              argsNamed("an agent", "a URL"),
		ValidArgsFunction: app.completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Agent, opts.URL = args[0], args[1]
			request, err := parseRequest(opts.URL, opts.Method)
			if err != nil {
				return usagef(cmd, "%w", err)
			}
			return runWhy(opts, request)
		},
	}
	cmd.Flags().StringVarP(&opts.Method, "request", "X", "GET", "the request's `method`")
	opts.Format.flag(cmd)
	return cmd
}

func runWhy(opts *whyOptions, request policy.Request) error {
	compiled, _, err := opts.policyOf(opts.Agent)
	if err != nil {
		return err
	}
	decision := compiled.Decide(request)
	if opts.Format == formatJSON {
		err = writeJSON(opts.Out, decision)
	} else {
		verdict := "denied"
		if decision.Allow {
			verdict = "allowed"
		}
		_, err = fmt.Fprintf(opts.Out, "%s: %s\nrule: %s\nreason: %s\n",
			verdict, term.Escape(decision.Host), term.Escape(decision.Rule), term.Escape(decision.Reason))
	}
	if err == nil && !decision.Allow {
		return codeError{code: exitFailure}
	}
	return err
}

// parseRequest is the request that a client inside would make for a URL: a
// tunnel for https, a proxied request for http. A bare name means https.
func parseRequest(raw, method string) (policy.Request, error) {
	if !strings.Contains(raw, "://") {
		raw = "https://" + raw
	}
	u, err := url.Parse(raw)
	if err != nil {
		return policy.Request{}, errors.Unwrap(err)
	}
	request := policy.Request{Host: u.Hostname(), Method: strings.ToUpper(method), Path: u.EscapedPath()}
	switch u.Scheme {
	case "https", "wss":
		request.Kind, request.Port = policy.Connect, 443
	case "http", "ws":
		request.Kind, request.Port = policy.HTTP, 80
	default:
		return policy.Request{}, fmt.Errorf("URL %q: a bottle reaches http and https only", raw)
	}
	if request.Host == "" {
		return policy.Request{}, fmt.Errorf("URL %q has no host", raw)
	}
	if port := u.Port(); port != "" {
		request.Port, err = strconv.Atoi(port)
		if err != nil || request.Port < 1 || request.Port > 65535 {
			return policy.Request{}, fmt.Errorf("URL %q: port %s is not one of 1 to 65535", raw, port)
		}
	}
	if request.Path == "" {
		request.Path = "/"
	}
	return request, nil
}
