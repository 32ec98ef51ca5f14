package cli

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"claude-bottle/internal/broker"
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
			return runWhy(cmd, opts)
		},
	}
	cmd.Flags().StringVarP(&opts.Method, "request", "X", "GET", "the request's `method`")
	completeFlag(cmd, "request", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
	opts.Format.flag(cmd)
	return cmd
}

// explained is what `why` says, for programs.
type explained struct {
	policy.Decision
	Kind   policy.Kind `json:"kind"`
	Port   int         `json:"port"`
	Method string      `json:"method"`
	Path   string      `json:"path"`
	// Asked says that a person who runs approve is asked before it is refused.
	Asked bool `json:"asked,omitempty"`
	// Secrets are those that are brokered for the place.
	Secrets []broker.Outlook `json:"secrets,omitempty"`
}

func runWhy(cmd *cobra.Command, opts *whyOptions) error {
	compiled, egress, err := opts.policyOf(cmd.Context(), opts.Agent)
	if err != nil {
		return err
	}
	own, err := hostAddresses()
	if err != nil {
		return err
	}
	request, decision, err := compiled.Explain(opts.URL, strings.ToUpper(opts.Method), own)
	if err != nil {
		return usagef(cmd, "URL %q: %w", opts.URL, err)
	}
	outlooks, err := brokered(egress, request, &decision)
	if err != nil {
		return err
	}
	asked := compiled.AsksAbout(request, decision, func() ([]netip.Addr, error) { return own, nil })
	if opts.Format == formatJSON {
		err = writeJSON(opts.Out, explained{decision, request.Kind, request.Port, request.Method, request.Path, asked, outlooks})
	} else {
		_, err = io.WriteString(opts.Out, explanation(request, decision, asked, outlooks))
	}
	if err == nil && !decision.Allow {
		return codeError{code: exitFailure}
	}
	return err
}

// brokered is what becomes of a request for the secrets of its place. Where it
// is refused with them and without, that is the decision.
func brokered(egress policy.Egress, request policy.Request, decision *policy.Decision) ([]broker.Outlook, error) {
	if !decision.Allow || request.Kind != policy.HTTP && request.Kind != policy.HTTPS {
		return nil, nil
	}
	outlooks, err := broker.Explain(egress.Secrets, broker.Request{
		Verified: request.Kind == policy.HTTPS, Method: request.Method, Host: decision.Host, Port: request.Port, Path: request.Path,
	})
	if refused, all := broker.Refused(outlooks); all {
		*decision = refused.Decision(decision.Host)
	}
	return outlooks, err
}

// secretLines say it to people.
func secretLines(outlooks []broker.Outlook) (text string) {
	for _, o := range outlooks {
		name := term.Escape(o.Secret)
		with := "goes in for its placeholder"
		if o.With != "" {
			with = "is refused: " + o.With
		}
		without := "goes on"
		if o.Without != "" {
			without = "is refused"
		}
		text += fmt.Sprintf("secret: %s %s; a request without a credential %s\n", name, with, without)
		if o.Other == "" {
			text += "secret: a request with another credential goes on\n"
		}
	}
	return text
}

// hostAddresses are this machine's, which a gateway on it refuses to dial.
func hostAddresses() ([]netip.Addr, error) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list the host's addresses: %w", err)
	}
	var own []netip.Addr
	for _, address := range addresses {
		if prefix, err := netip.ParsePrefix(address.String()); err == nil {
			own = append(own, prefix.Addr())
		}
	}
	return own, nil
}

// scanned says what becomes of secrets in an allowed request.
func scanned(request policy.Request, decision policy.Decision) string {
	switch {
	case decision.TCP, request.Kind == policy.Connect:
		return "nothing is seen in it, so it is not scanned for secrets"
	case decision.Scan == "" && decision.Harness:
		return "the run's own secrets are redacted, others recorded"
	case decision.Scan == "":
		return "the run's own secrets are blocked, others recorded"
	default:
		return decision.Scan
	}
}

func explanation(request policy.Request, decision policy.Decision, asked bool, outlooks []broker.Outlook) string {
	verdict := "denied"
	if decision.Allow {
		verdict = "allowed"
	}
	text := fmt.Sprintf("%s: %s\nrule: %s\nreason: %s\n",
		verdict, term.Escape(decision.Host), term.Escape(decision.Rule), term.Escape(decision.Reason))
	switch {
	case !decision.Allow:
	case request.Kind == policy.HTTPS:
		text += "tls: opened, so that method and path are seen\n"
	case decision.TCP:
		text += "tunnel: bytes are carried as they are\n"
	case request.Kind == policy.Connect:
		text += "tls: not opened: every method and path is allowed\n"
	}
	if decision.Allow {
		text += secretLines(outlooks) + "scan: " + scanned(request, decision) + "\n"
	}
	if decision.Budget > 0 {
		text += fmt.Sprintf("budget: %d bytes\n", decision.Budget)
	}
	if asked {
		text += "asked: while claude-bottle approve runs, a person is asked first\n"
	}
	if decision.Remedy != "" {
		text += "remedy: " + term.Escape(decision.Remedy) + "\n"
	}
	return text
}
