package cli

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
)

// saveRules adds rules to the manifest that says what a bottle may reach.
func (a *App) saveRules(bottleName string, rules []policy.Rule) error {
	for _, list := range []manifest.List{manifest.Allowlist, manifest.Rules} {
		some := slices.DeleteFunc(slices.Clone(rules), func(r policy.Rule) bool { return manifest.ListOf(r) != list })
		if len(some) == 0 {
			continue
		}
		err := a.saveEgress(bottleName, texts(some), list, func(data []byte) ([]byte, error) {
			return manifest.AddRules(data, bottleName, some)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// savePreset is saveRules for a preset.
func (a *App) savePreset(bottleName, preset string) error {
	return a.saveEgress(bottleName, "presets: ["+preset+"]", manifest.PresetList, func(data []byte) ([]byte, error) {
		return manifest.AddPreset(data, bottleName, preset)
	})
}

// saveEgress changes a list in the manifest that says what a bottle may reach:
// the last one, home's being first, that has that list, since it takes the
// place of the others' (in another one it would do so: what home denies would
// be gone); else the last that defines the bottle. What was trusted stays so.
// what is the change in words, to be made by hand where this fails.
func (a *App) saveEgress(bottleName, what string, list manifest.List, change func(data []byte) ([]byte, error)) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	dir, err := a.Dir()
	if err != nil {
		return err
	}
	file, after, err := a.changed(dir, home, bottleName, list, change)
	if err != nil {
		return hint.With(fmt.Errorf("save to the manifest: %w", err), "add it by hand, with claude-bottle edit: "+what)
	}
	m, err := manifest.LoadEdited(dir, home, file.path, after)
	if err != nil {
		return hint.With(fmt.Errorf("save to the manifest: %w", err), "add it by hand, with claude-bottle edit: "+what)
	}
	return a.save(file, after, m)
}

func texts(rules []policy.Rule) string {
	var all []string
	for _, rule := range rules {
		all = append(all, rule.Text())
	}
	return strings.Join(all, ", ")
}

// changed finds the file to change, and what it will be.
func (a *App) changed(dir, home, bottleName string, list manifest.List, change func([]byte) ([]byte, error)) (edited, []byte, error) {
	found, err := manifest.Find(dir, home)
	if err != nil {
		return edited{}, nil, err
	}
	var chosen edited
	var after []byte
	failed := errors.New("no manifest here defines the bottle " + bottleName)
	listing := false
	for _, source := range found {
		info, err := os.Stat(source.Path)
		if err != nil {
			return edited{}, nil, err
		}
		data, err := manifest.ReadFile(source.Path)
		if err != nil {
			return edited{}, nil, err
		}
		has := manifest.HasList(data, bottleName, list)
		if listing && !has {
			continue
		}
		changed, err := change(data)
		if errors.Is(err, manifest.ErrNotHere) {
			continue
		}
		if failed = err; err != nil {
			failed = fmt.Errorf("%s: %w", source.Path, err)
		}
		chosen, after, listing = edited{dir: dir, home: home, path: source.Path, before: data, mode: info.Mode().Perm()}, changed, has
	}
	if failed != nil {
		return edited{}, nil, failed
	}
	chosen.trusted, err = a.isTrusted(chosen)
	return chosen, after, err
}
