package cli

import (
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
)

// manifestTemplate is what `init` writes: it works as it is.
//
//go:embed init.yaml
var manifestTemplate []byte

// manifestNames are the files a directory's manifest may be, as the loader
// looks for them.
var manifestNames = []string{"claude-bottle.yaml", "claude-bottle.yml", "claude-bottle.json"}

type initOptions struct {
	*App
	Home bool
}

func newInit(app *App) *cobra.Command {
	opts := &initOptions{App: app}
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Write a first manifest, with comments",
		Long: `Write claude-bottle.yaml in the working directory, or with --home in your home
directory, where its bottles and agents are there for every project. A manifest
that exists is left alone. What it writes beside a project is trusted.`,
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runInit(opts) },
	}
	cmd.Flags().BoolVar(&opts.Home, "home", false, "write it in your home directory")
	return cmd
}

func runInit(opts *initOptions) error {
	dir, err := opts.manifestDir(opts.Home)
	if err != nil {
		return err
	}
	for _, name := range manifestNames {
		path := filepath.Join(dir, name)
		if _, err := os.Lstat(path); err == nil {
			return hint.With(fmt.Errorf("write a manifest: %s exists", path), "claude-bottle edit changes it")
		} else if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("look for a manifest: %w", err)
		}
	}
	path := filepath.Join(dir, manifestNames[0])
	// Exclusive: a file, or a link, that appeared meanwhile is not followed.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return fmt.Errorf("write a manifest: %w", err)
	}
	_, err = file.Write(manifestTemplate)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("write a manifest: %w", err)
	}
	fmt.Fprintln(opts.Out, path)
	opts.note("claude-bottle: next: claude-bottle edit, then claude-bottle start dev --cwd")
	return opts.trustOwn(dir)
}

// trustOwn trusts a project's manifest that was written here a moment ago: it
// did not come with the code.
func (a *App) trustOwn(dir string) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	m, err := manifest.Load(dir, home)
	if err != nil || m.Project() == nil {
		return withCode(exitUsage, err)
	}
	store, err := a.trustStore()
	if err != nil {
		return err
	}
	return store.Record(m.Project().Path, m.Project().Hash)
}

// manifestDir is where a manifest of the project, or of home, belongs.
func (a *App) manifestDir(home bool) (string, error) {
	if !home {
		return a.Dir()
	}
	return a.home()
}
