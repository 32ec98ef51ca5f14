package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/term"
)

type trustOptions struct {
	*App
	Format format
}

func newTrust(app *App) *cobra.Command {
	opts := &trustOptions{App: app}
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Trust the manifest of the project in the working directory",
		Long: `Show what the manifest in the working directory would change beside your own, and
remember that you trust it, as it is now with every file it names. When one of
them changes you are asked again.

With --format json print the manifest's path, hash and changes and ask nothing:
claude-bottle start --trust HASH trusts it for one launch.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runTrust(cmd.Context(), opts) },
	}
	opts.Format.flag(cmd)
	return cmd
}

// shownTrust is what `trust` says, for programs.
type shownTrust struct {
	Path    string   `json:"path"`
	Hash    string   `json:"hash"`
	Trusted bool     `json:"trusted"`
	Changes []string `json:"changes"`
}

func runTrust(ctx context.Context, opts *trustOptions) error {
	m, err := opts.manifest()
	if err != nil {
		return err
	}
	project := m.Project()
	if project == nil {
		return withCode(exitUsage, hint.With(errors.New("there is no project's manifest here: only your own is read"),
			"run it where the project's claude-bottle.yaml is"))
	}
	store, err := opts.trustStore()
	if err != nil {
		return err
	}
	trusted := store.Trusted(project.Path, project.Hash)
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, shownTrust{project.Path, project.Hash, trusted, nonNil(project.Changes)})
	}
	if trusted {
		fmt.Fprintf(opts.Err, "claude-bottle: %s is trusted already\n", term.Escape(project.Path))
		return nil
	}
	return opts.askTrust(ctx, store, project)
}

// requireTrust refuses a project's manifest that the person has not seen. What
// is given with --trust must fit, also when it is trusted already: whoever
// pinned it wants that one and no other. Nothing but a person, here, or the
// hash grants it: no --yes.
func (a *App) requireTrust(ctx context.Context, m *manifest.Manifest, pinned string) error {
	project := m.Project()
	if project == nil {
		if pinned != "" {
			return withCode(exitUsage, errors.New("--trust: there is no project's manifest here"))
		}
		return nil
	}
	if pinned != "" {
		if pinned == project.Hash {
			return nil
		}
		return withCode(exitUsage, hint.With(fmt.Errorf("--trust: %s is not what was pinned", project.Path),
			"read it; if you trust it as it is now, pass --trust "+project.Hash))
	}
	store, err := a.trustStore()
	if err != nil {
		return err
	}
	if store.Trusted(project.Path, project.Hash) {
		return nil
	}
	return a.askTrust(ctx, store, project)
}

// askTrust shows what a project's manifest would change and records a yes.
func (a *App) askTrust(ctx context.Context, store *manifest.TrustStore, project *manifest.ProjectFile) error {
	if err := store.Check(); err != nil { // a yes that cannot be kept is not asked for
		return err
	}
	a.printChanges(project)
	if !a.canAsk() {
		return withCode(exitUsage, hint.With(fmt.Errorf("the manifest %s is not trusted, and there is no terminal to ask on", project.Path),
			"read it, then pass --trust "+project.Hash+" to start, or run claude-bottle trust in a terminal"))
	}
	yes, err := a.confirm(ctx, "trust this manifest?")
	if err != nil {
		return err
	}
	if !yes {
		return withCode(exitUsage, hint.With(fmt.Errorf("the manifest %s is not trusted", project.Path),
			"without it, work in another directory: your own manifest is read everywhere"))
	}
	return store.Record(project.Path, project.Hash)
}

func (a *App) printChanges(project *manifest.ProjectFile) {
	fmt.Fprintf(a.Err, "claude-bottle: %s came with the project. Beside your own manifest it:\n", term.Escape(project.Path))
	for _, change := range project.Changes {
		fmt.Fprintf(a.Err, "  - %s\n", term.Escape(change))
	}
	if len(project.Changes) == 0 {
		fmt.Fprintln(a.Err, "  - change nothing")
	}
	fmt.Fprintf(a.Err, "sha256: %s\n", project.Hash)
}
