package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
)

type editOptions struct {
	*App
	Home bool
}

func newEdit(app *App) *cobra.Command {
	opts := &editOptions{App: app}
	cmd := &cobra.Command{
		Use:   "edit",
		Short: "Edit a manifest; what is saved is valid",
		Long: `Edit the working directory's manifest, or without one your own, in $VISUAL or
$EDITOR. You edit a copy: it takes the manifest's place once it is valid, and
until then you can edit again. A project's manifest that you trusted stays
trusted with your changes.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runEdit(cmd.Context(), opts) },
	}
	cmd.Flags().BoolVar(&opts.Home, "home", false, "edit the manifest in your home directory")
	return cmd
}

// edited is the manifest being edited.
type edited struct {
	dir, home string // as manifest.Load takes them
	path      string
	before    []byte
	mode      fs.FileMode
	trusted   bool // and so it stays
}

func runEdit(ctx context.Context, opts *editOptions) error {
	file, err := opts.toEdit(opts.Home)
	if err != nil {
		return err
	}
	draft, err := writeDraft(file)
	if err != nil {
		return err
	}
	// Ctrl-C belongs to the editor: what was typed must not go with it.
	_, stop := opts.Signals()
	defer stop()
	err = editDraft(ctx, opts, file, draft)
	if err == nil {
		return os.RemoveAll(filepath.Dir(draft))
	}
	if same, _ := os.ReadFile(draft); bytes.Equal(same, file.before) {
		return errors.Join(err, os.RemoveAll(filepath.Dir(draft)))
	}
	return hint.With(err, "what you typed is still in "+draft)
}

// editDraft lets the person edit until the draft is valid, and saves it.
func editDraft(ctx context.Context, opts *editOptions, file edited, draft string) error {
	for {
		if err := opts.runEditor(ctx, draft); err != nil {
			return err
		}
		after, err := os.ReadFile(draft)
		if err != nil {
			return fmt.Errorf("read what was edited: %w", err)
		}
		if bytes.Equal(after, file.before) {
			opts.note("claude-bottle: %s is unchanged", file.path)
			return nil
		}
		m, wrong := manifest.LoadEdited(file.dir, file.home, file.path, after)
		if wrong == nil {
			printWarnings(opts.Err, m)
			return opts.save(file, after, m)
		}
		opts.printError(wrong)
		again := false
		if opts.canAsk() {
			if again, err = opts.confirm(ctx, "edit again?"); err != nil {
				return err
			}
		}
		if !again {
			return withCode(exitUsage, fmt.Errorf("%s was not changed: what was edited is not valid", file.path))
		}
	}
}

// toEdit finds the manifest: the project's if there is one, else home's.
func (a *App) toEdit(inHome bool) (edited, error) {
	home, err := a.home()
	if err != nil {
		return edited{}, err
	}
	dir, err := a.Dir()
	if err != nil {
		return edited{}, err
	}
	if inHome {
		dir = home
	}
	found, err := manifest.Find(dir, home)
	if err != nil {
		return edited{}, withCode(exitUsage, err)
	}
	if len(found) == 0 {
		return edited{}, withCode(exitUsage, hint.With(errors.New("there is no manifest to edit"), "claude-bottle init"))
	}
	last := found[len(found)-1]
	file := edited{dir: dir, home: home, path: last.Path}
	info, err := os.Stat(file.path)
	if err != nil {
		return edited{}, fmt.Errorf("edit the manifest: %w", err)
	}
	file.mode = info.Mode().Perm()
	if file.before, err = manifest.ReadFile(file.path); err != nil {
		return edited{}, fmt.Errorf("edit the manifest: %w", err)
	}
	file.trusted, err = a.isTrusted(file)
	return file, err
}

// isTrusted says whether file is a project's manifest that is valid and, as it
// was before the edit, trusted beside what the files it names hold now.
func (a *App) isTrusted(file edited) (bool, error) {
	m, err := manifest.LoadEdited(file.dir, file.home, file.path, file.before)
	if err != nil || m.Project() == nil {
		return false, nil // a broken manifest is what edit mends
	}
	store, err := a.trustStore()
	if err != nil {
		return false, err
	}
	return store.Trusted(m.Project().Path, m.Project().Hash), nil
}

// writeDraft puts a copy where only the person can change it.
func writeDraft(file edited) (string, error) {
	dir, err := os.MkdirTemp("", "claude-bottle-edit-")
	if err != nil {
		return "", fmt.Errorf("copy the manifest: %w", err)
	}
	draft := filepath.Join(dir, filepath.Base(file.path))
	if err := os.WriteFile(draft, file.before, 0o600); err != nil {
		return "", errors.Join(fmt.Errorf("copy the manifest: %w", err), os.RemoveAll(dir))
	}
	return draft, nil
}

// runEditor runs $VISUAL, else $EDITOR, which may carry arguments, as every
// program that starts an editor has it.
func (a *App) runEditor(ctx context.Context, draft string) error {
	editor := a.Getenv("VISUAL")
	if editor == "" {
		editor = a.Getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	words := strings.Fields(editor)
	if len(words) == 0 {
		return withCode(exitUsage, hint.With(errors.New("no editor"), "set VISUAL or EDITOR"))
	}
	cmd := exec.CommandContext(ctx, words[0], append(words[1:], draft)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = a.In, a.Out, a.Err
	if err := cmd.Run(); err != nil {
		return hint.With(fmt.Errorf("run the editor %s: %w", words[0], err), "set VISUAL or EDITOR")
	}
	return nil
}

// save replaces the manifest in one step, unless somebody else changed it
// meanwhile.
func (a *App) save(file edited, after []byte, m *manifest.Manifest) error {
	now, err := manifest.ReadFile(file.path)
	if err != nil {
		return fmt.Errorf("save the manifest: %w", err)
	}
	if !bytes.Equal(now, file.before) {
		return fmt.Errorf("save the manifest: %s changed while you edited it", file.path)
	}
	// A link stays a link: what it leads to is replaced.
	path, err := filepath.EvalSymlinks(file.path)
	if err != nil {
		return fmt.Errorf("save the manifest: %w", err)
	}
	if err := renameio.WriteFile(path, after, file.mode, renameio.IgnoreUmask()); err != nil {
		return fmt.Errorf("save the manifest: %w", err)
	}
	a.note("claude-bottle: saved %s", file.path)
	project := m.Project()
	if !file.trusted || project == nil {
		return nil
	}
	// The files that it names are not the person's edit: what became of one
	// of them meanwhile was never shown.
	file.trusted, err = a.isTrusted(file)
	if err != nil {
		return err
	}
	if !file.trusted {
		a.note("warning: a file that %s names changed while you edited it, so it is not trusted any more", file.path)
		return nil
	}
	store, err := a.trustStore()
	if err != nil {
		return err
	}
	return store.Record(project.Path, project.Hash)
}
