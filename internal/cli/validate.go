package cli

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"claude-bottle/internal/manifest"
)

type validateOptions struct {
	*App
	File   string
	Format format
}

func newValidate(app *App) *cobra.Command {
	opts := &validateOptions{App: app}
	cmd := &cobra.Command{
		Use:   "validate [FILE]",
		Short: "Check the manifest and report everything that is wrong",
		Long: `Check the manifests that start would read: the working directory's and your own,
merged. With FILE check that one, merged over your own. Everything that is wrong
is reported, with its place.`,
		Args: optionalArg("a file"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.File = args[0]
				if !slices.Contains(manifestNames, filepath.Base(opts.File)) {
					return usagef(cmd, "%s: a manifest is named %s", opts.File, strings.Join(manifestNames, ", "))
				}
			}
			return runValidate(opts)
		},
	}
	opts.Format.flag(cmd)
	return cmd
}

// verdict is what `validate` says, for programs.
type verdict struct {
	Valid    bool      `json:"valid"`
	Files    []string  `json:"files"`
	Errors   []problem `json:"errors"`
	Warnings []problem `json:"warnings"`
}

type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Message string `json:"message"`
}

func problems(found []manifest.Problem) []problem {
	list := []problem{}
	for _, p := range found {
		list = append(list, problem{p.At.File, p.At.Line, p.At.Column, p.Message})
	}
	return list
}

func runValidate(opts *validateOptions) error {
	m, err := opts.load(opts.File)
	var wrong manifest.Errors
	if opts.Format == formatJSON && errors.As(err, &wrong) {
		written := writeJSON(opts.Out, verdict{Files: []string{}, Errors: problems(wrong), Warnings: []problem{}})
		return errors.Join(written, codeError{code: exitUsage})
	}
	if err != nil {
		return err
	}
	if opts.Format == formatJSON {
		v := verdict{Valid: true, Files: []string{}, Errors: []problem{}, Warnings: problems(m.Warnings)}
		for _, file := range m.Files {
			v.Files = append(v.Files, file.Path)
		}
		return writeJSON(opts.Out, v)
	}
	printWarnings(opts.Err, m)
	for _, file := range m.Files {
		fmt.Fprintf(opts.Out, "%s: ok\n", file.Path)
	}
	return nil
}

// load reads the manifest at path merged over home's, or without a path what
// start would read.
func (a *App) load(path string) (*manifest.Manifest, error) {
	if path == "" {
		return a.manifest()
	}
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	dir, err := a.Dir()
	if err != nil {
		return nil, err
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	m, err := manifest.Load(filepath.Dir(path), home)
	return m, withCode(exitUsage, err)
}

func printWarnings(w io.Writer, m *manifest.Manifest) {
	for _, warning := range m.Warnings {
		fmt.Fprintf(w, "warning: %s\n", warning)
	}
}
