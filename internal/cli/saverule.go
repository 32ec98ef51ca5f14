package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
)

// saveRules adds rules to the manifest that says what a bottle may reach.
func (a *App) saveRules(bottleName string, rules []policy.Rule) error {
	return a.saveEgress(bottleName, texts(rules), func(data []byte) ([]byte, error) {
		return manifest.AddRules(data, bottleName, rules)
	})
}

// savePreset is saveRules for a preset.
func (a *App) savePreset(bottleName, preset string) error {
	return a.saveEgress(bottleName, "presets: ["+preset+"]", func(data []byte) ([]byte, error) {
		return manifest.AddPreset(data, bottleName, preset)
	})
}

// saveEgress changes the manifest that says what a bottle may reach: the
// last one, home's being first, that has a list of its own, since that list
// takes the place of the others; else the last that defines the bottle. What
// was trusted stays so. what is the change in words, to be made by hand where
// this fails.
func (a *App) saveEgress(bottleName, what string, change func(data []byte) ([]byte, error)) error {
	home, err := a.home()
	if err != nil {
		return err
	}
	dir, err := a.Dir()
	if err != nil {
		return err
	}
	file, after, err := a.changed(dir, home, bottleName, change)
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
func (a *App) changed(dir, home, bottleName string, change func([]byte) ([]byte, error)) (edited, []byte, error) {
	found, err := manifest.Find(dir, home)
	if err != nil {
		return edited{}, nil, err
	}
	var chosen edited
	var after []byte
	listing := false
	for _, source := range found {
		if filepath.Ext(source.Path) == ".json" {
			return edited{}, nil, fmt.Errorf("%s is JSON, which is not rewritten", source.Path)
		}
		info, err := os.Stat(source.Path)
		if err != nil {
			return edited{}, nil, err
		}
		data, err := manifest.ReadFile(source.Path)
		if err != nil {
			return edited{}, nil, err
		}
		changed, err := change(data)
		if errors.Is(err, manifest.ErrNotHere) {
			continue
		}
		if err != nil {
			return edited{}, nil, err
		}
		if lists := manifest.ListsEgress(data, bottleName); lists || !listing {
			chosen, after, listing = edited{dir: dir, home: home, path: source.Path, before: data, mode: info.Mode().Perm()}, changed, lists
		}
	}
	if after == nil {
		return edited{}, nil, errors.New("no manifest here defines the bottle " + bottleName)
	}
	chosen.trusted, err = a.isTrusted(chosen)
	return chosen, after, err
}
