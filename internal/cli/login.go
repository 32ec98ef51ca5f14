package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/keychain"
	"claude-bottle/internal/term"
)

type loginOptions struct {
	*App
	Agent    string // whose bottle's way out is taken; empty for none
	Paste    bool
	File     bool
	Yes      bool
	Platform string
}

func newLogin(app *App) *cobra.Command {
	opts := &loginOptions{App: app}
	cmd := &cobra.Command{
		Use:   "login [AGENT] [flags]",
		Short: "Keep a credential for Claude Code",
		Long: `Keep a credential for Claude Code, so that start needs no variable for it.

At a terminal Claude Code's own login (claude setup-token) runs in a bottle: it
prints a URL, which you open, and gets a token. With AGENT that bottle has the
proxy, the certificates and the fixed addresses of the agent's own, as your own
manifest has them. --paste asks for a token that you have, or an API key. Without
a terminal it is read from standard input.

It is kept in the keychain of your session, else in a file that you alone can
read, and the command says which. What is in the environment comes first:
CLAUDE_BOTTLE_OAUTH_TOKEN, then ANTHROPIC_API_KEY.`,
		Example: `  claude-bottle login
  pass show claude | claude-bottle login`,
		Args:              optionalArg("an agent"),
		ValidArgsFunction: app.completeAgents,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.Agent = args[0]
			}
			return runLogin(cmd.Context(), opts)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if strings.Contains(err.Error(), "--with-token") { // as gh has it
			return usageError{err: err, command: cmd.CommandPath(), hint: "it is not needed: without a terminal the token is read from standard input"}
		}
		return flagError(cmd, err)
	})
	flags := cmd.Flags()
	flags.BoolVar(&opts.Paste, "paste", false, "ask for a token or key that you have")
	flags.BoolVar(&opts.File, "file", false, "keep it in the file, also where there is a keychain")
	flags.BoolVarP(&opts.Yes, "yes", "y", false, "launch the login's bottle without asking")
	platformFlag(cmd, app, &opts.Platform)
	return cmd
}

func newLogout(app *App) *cobra.Command {
	return &cobra.Command{
		Use:   "logout",
		Short: "Forget the credential that login has kept",
		Long: `Forget the credential that login has kept, wherever that is. The token itself
stays valid: revoke it where you got it.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLogout(cmd.Context(), app) },
	}
}

func runLogin(ctx context.Context, opts *loginOptions) error {
	root, err := opts.stateRoot()
	if err != nil {
		return err
	}
	if err := withoutCore(); err != nil {
		return err
	}
	row, _ := harness.Named("claude")
	secret, err := opts.credential(ctx, row)
	if err != nil || secret == "" {
		return err
	}
	token, secret, err := tokenOfKind(row, secret)
	if err != nil {
		return withCode(exitUsage, err)
	}
	logins := opts.logins(root)
	release, err := loginTurn(ctx, logins)
	if err != nil {
		return err
	}
	defer release()
	kept, err := logins.Keep(ctx, token.From, secret, opts.File)
	if err != nil {
		if !opts.File {
			err = hint.With(err, "unlock the keychain, or keep it in a file: claude-bottle login --file")
		}
		return err
	}
	opts.note("claude-bottle: %s is kept in %s", kept.Name, opts.placeOf(logins, kept))
	if _, whole := broker.ParseLogin(secret); whole {
		opts.note("warning: it is a login that expires, and is renewed here: whatever else has it will be logged out")
	}
	for _, first := range row.Tokens {
		if opts.Getenv(first.From) != "" {
			opts.note("warning: %s is set in your environment, and is taken before it", first.From)
		}
	}
	return nil
}

// placeOf says where a login is.
func (a *App) placeOf(logins keychain.Logins, login keychain.Login) string {
	if login.Place == keychain.InFile {
		return logins.FilePath() + ", which you alone can read; whoever runs as you can too"
	}
	return "the keychain of your session"
}

// credential gets one from wherever the person has it; empty when the person
// did not want to.
func (opts *loginOptions) credential(ctx context.Context, row harness.Harness) (string, error) {
	switch {
	case !term.IsTerminal(opts.In):
		return readCredential(opts.In)
	case !opts.canAsk():
		return "", withCode(exitUsage, hint.With(errors.New("login needs a terminal to ask on"),
			"give the token on standard input: pass show claude | claude-bottle login"))
	case opts.Paste:
		return opts.paste(ctx)
	}
	secret, done, err := opts.fromHarness(ctx, row)
	if err != nil || !done || secret != "" {
		return secret, err
	}
	opts.note("claude-bottle: the token could not be read off the screen")
	return opts.paste(ctx)
}

func (opts *loginOptions) paste(ctx context.Context) (string, error) {
	ctx, _, release := opts.catch(ctx) // a signal leaves no terminal that shows nothing
	defer release()
	secret, err := opts.prompt().Pasted(ctx, "claude-bottle: token or API key")
	if err == nil && strings.TrimSpace(secret) == "" {
		err = errors.New("nothing was entered")
	}
	return strings.TrimSpace(secret), interrupted(ctx, withCode(exitUsage, err))
}

// maxCredential bounds what is read, in bytes.
const maxCredential = 16 << 10

func readCredential(in io.Reader) (string, error) {
	text := make([]byte, maxCredential+1) // in one piece: one that grows would leave it behind
	defer clear(text)
	n, err := io.ReadFull(in, text)
	text = text[:n]
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return "", fmt.Errorf("read the credential: %w", err)
	}
	secret := strings.TrimSpace(string(text))
	switch {
	case len(text) > maxCredential:
		return "", withCode(exitUsage, errors.New("standard input is longer than any credential"))
	case secret == "":
		return "", withCode(exitUsage, hint.With(errors.New("standard input holds no credential"),
			"pass show claude | claude-bottle login, or run it in a terminal"))
	}
	return secret, nil
}

// tokenOfKind says by its prefix what a credential is. A whole login, as Claude
// Code keeps one, is of the first kind; what is kept of it is returned.
func tokenOfKind(row harness.Harness, secret string) (harness.Token, string, error) {
	if login, is := broker.ParseLogin(secret); is {
		return row.Tokens[0], login.Text(), nil
	}
	token, err := tokenByPrefix(row, secret)
	return token, secret, err
}

func tokenByPrefix(row harness.Harness, secret string) (harness.Token, error) {
	if strings.ContainsFunc(secret, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }) {
		return harness.Token{}, errors.New("that is no credential: there are spaces, line breaks or control characters in it")
	}
	var prefixes []string
	for _, token := range row.Tokens {
		if strings.HasPrefix(secret, token.Prefix) && len(secret) > len(token.Prefix)+8 {
			return token, nil
		}
		prefixes = append(prefixes, token.Prefix)
	}
	return harness.Token{}, hint.With(errors.New("that is no credential of Claude Code's: one begins with "+strings.Join(prefixes, " or ")),
		"claude-bottle login, at a terminal, gets one")
}

func runLogout(ctx context.Context, app *App) error {
	root, err := app.stateRoot()
	if err != nil {
		return err
	}
	logins := app.logins(root)
	release, err := loginTurn(ctx, logins)
	if err != nil {
		return err
	}
	defer release()
	login, found, err := logins.Forget(ctx)
	switch {
	case err != nil:
		return hint.With(err, "unlock the keychain, and try again")
	case !found:
		app.note("claude-bottle: nothing is kept")
	default:
		app.note("claude-bottle: %s is no longer in %s; the token itself stays valid until it is revoked", login.Name, app.placeOf(logins, login))
	}
	return nil
}
