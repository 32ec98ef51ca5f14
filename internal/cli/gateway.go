package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/spf13/cobra"

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
}

func newGateway(app *App) *cobra.Command {
	opts := &gatewayOptions{App: app}
	cmd := &cobra.Command{
		Use:   "gateway --policy FILE --listen ADDR --record FILE [--ca-cert FILE]",
		Short: "Run the gateway by itself, without a bottle",
		Long: `Run the gateway of a bottle by itself, as an HTTP and SOCKS5 proxy for whatever is
pointed at it. It reads the policy that claude-bottle policy AGENT prints, says on standard
error where it listens, serves until a signal ends it, and appends one line of
JSON for each decision to the record.

A policy that needs to see inside TLS wants --ca-cert: the gateway makes an
authority in memory and writes its certificate to that file, for its clients to
trust. The key is nowhere else and ends with the gateway.`,
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
	flags.StringVar(&opts.CACert, "ca-cert", "", "the `file` to write the certificate to by which TLS is inspected")
	return cmd
}

func runGateway(ctx context.Context, opts *gatewayOptions) error {
	egress, err := readPolicy(opts.Policy)
	if err != nil {
		return withCode(exitUsage, err)
	}
	ctx, _, release := opts.catch(ctx)
	defer release()
	return gateway.ListenAndServe(ctx, gateway.Options{
		Policy: egress, Listen: opts.Listen, Record: opts.Record, Control: opts.Control, CACert: opts.CACert,
		Ready: func(at net.Addr) { fmt.Fprintf(opts.Err, "claude-bottle: the gateway listens on %s\n", at) },
	})
}

// readPolicy is strict: a misspelt key would be a rule that is not there.
func readPolicy(path string) (policy.Egress, error) {
	var egress policy.Egress
	data, err := os.ReadFile(path)
	if err != nil {
		return egress, fmt.Errorf("read the policy: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(&egress)
	if err == nil && !errors.Is(decoder.Decode(new(any)), io.EOF) {
		err = errors.New("more than one value")
	}
	if err != nil {
		return egress, hint.With(fmt.Errorf("read the policy %s: %w", path, err), "claude-bottle policy AGENT prints one")
	}
	return egress, nil
}
