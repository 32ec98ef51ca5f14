package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/gateway"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
)

type gatewayOptions struct {
	*App
	Policy  string
	Listen  string
	Record  string
	Control string
	CACert  string
	// Placeholders is the file for what stands for secrets.
	Placeholders string
}

func newGateway(app *App) *cobra.Command {
	opts := &gatewayOptions{App: app}
	cmd := &cobra.Command{
		Use:   "gateway --policy FILE --listen ADDR --record FILE [flags]",
		Short: "Run the gateway by itself, without a bottle",
		Long: `Run the gateway of a bottle by itself, as an HTTP and SOCKS5 proxy for whatever is
pointed at it. It reads the policy that claude-bottle policy AGENT prints, says on
standard error where it listens, serves until a signal ends it, and appends one
line of JSON for each decision to the record.

A policy that needs to see inside TLS wants --ca-cert: the gateway makes an
authority in memory and writes its certificate to that file, for its clients to
trust. The key is nowhere else and ends with the gateway.

A policy with secrets has them read from the gateway's own environment, each by
its name, and wants --placeholders: a file that gets NAME=placeholder lines, for
the environment of its clients.`,
		Example: `  claude-bottle policy reviewer > policy.json
  claude-bottle gateway --policy policy.json --listen 127.0.0.1:3128 --record record.jsonl`,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := noArgs(cmd, args); err != nil {
				return err
			}
			for _, flag := range []string{"policy", "listen", "record"} {
				if !cmd.Flags().Changed(flag) {
					return usagef(cmd, "gateway needs --%s", flag)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return runGateway(cmd.Context(), opts) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.Policy, "policy", "", "the policy `file`, JSON")
	flags.StringVar(&opts.Listen, "listen", "", "the `address` and port to listen on")
	flags.StringVar(&opts.Record, "record", "", "the `file` that the record is appended to")
	flags.StringVar(&opts.Control, "control", "", "listen on this `socket` for changes, counters and answers")
	flags.StringVar(&opts.Placeholders, "placeholders", "", "the `file` to write the placeholders of the policy's secrets to")
	flags.StringVar(&opts.CACert, "ca-cert", "", "the `file` to write the certificate to by which TLS is inspected")
	return cmd
}

func runGateway(ctx context.Context, opts *gatewayOptions) error {
	egress, err := readPolicy(opts.Policy)
	if err != nil {
		return withCode(exitUsage, err)
	}
	secrets, err := gatherFor(ctx, egress, opts)
	if err != nil {
		return withCode(exitUsage, err)
	}
	ctx, signals, release := opts.catch(ctx)
	defer release()
	signals.enter(ctx, serving)
	gateway.ShareProcessors()
	return gateway.ListenAndServe(ctx, gateway.Options{
		Policy: egress, Listen: opts.Listen, Record: opts.Record, Control: opts.Control, CACert: opts.CACert,
		Secrets: secrets,
		Ready:   func(at net.Addr) { fmt.Fprintf(opts.Err, "claude-bottle: the gateway listens on %s\n", at) },
	})
}

func readPolicy(path string) (policy.Egress, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return policy.Egress{}, fmt.Errorf("read the policy: %w", err)
	}
	egress, err := policy.Parse(data)
	if err != nil {
		return egress, hint.With(fmt.Errorf("read %s: %w", path, err), "claude-bottle policy AGENT prints one")
	}
	return egress, nil
}

// gatherFor reads the values of a policy's secrets from the environment, by
// their names, and writes what stands for them.
func gatherFor(ctx context.Context, egress policy.Egress, opts *gatewayOptions) ([]broker.Secret, error) {
	var entries []environ.Entry
	for _, s := range egress.Secrets {
		entry, err := environ.FromEnvironment(s)
		if err != nil {
			return nil, err
		}
		if _, ok := opts.Lookup(tokenOf(entry)); !ok && len(entry.With) > 1 { // not every key has one
			entry.With = entry.With[:1]
		}
		entries = append(entries, entry)
	}
	if len(entries) == 0 {
		return nil, nil
	}
	if opts.Placeholders == "" {
		return nil, hint.With(errors.New("the policy has secrets, and nothing says where to write what stands for them"), "add --placeholders FILE")
	}
	secrets, err := environ.Gather(ctx, entries, environ.Sources{Lookup: opts.Lookup})
	if err != nil {
		return nil, err
	}
	text := strings.Join(secrets.Placeholders(), "\n") + "\n"
	if err := renameio.WriteFile(opts.Placeholders, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write the placeholders: %w", err)
	}
	return secrets.Brokered(), nil
}

// tokenOf is the variable of a session token that belongs to an entry.
func tokenOf(entry environ.Entry) string {
	if len(entry.With) < 2 {
		return ""
	}
	return entry.With[1].Name
}
