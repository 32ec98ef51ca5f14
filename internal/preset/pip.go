package preset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pypiSaid reads pip's configuration: its variables and its files, in pip's
// order (https://pip.pypa.io/en/stable/topics/configuration/). The file of a
// virtual environment, which may lie in the project, is not read on the host.
func (c Clients) pypiSaid(ctx context.Context) ([]said, error) {
	settings, err := c.pipSettings(ctx)
	if err != nil {
		return nil, err
	}
	of := func(key string) []string { return strings.Fields(settings[key].text) }
	links := slices.DeleteFunc(of("find-links"), func(link string) bool {
		return !strings.HasPrefix(link, "http://") && !strings.HasPrefix(link, "https://")
	})
	all, err := sayAll(links, settings["find-links"].by, false)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", settings["find-links"].by, err)
	}
	none := of("no-index")
	if len(none) > 0 && slices.Contains([]string{"1", "true", "yes", "on", "y", "t"}, strings.ToLower(none[0])) {
		return append(all, said{By: settings["no-index"].by, Replaces: true}), nil
	}
	if len(of("index-url")) > 1 {
		return nil, errors.New("pip has more than one index-url")
	}
	for key, replaces := range map[string]bool{"index-url": true, "extra-index-url": false} {
		found, err := sayAll(of(key), settings[key].by, replaces)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", settings[key].by, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// pypiInside finds what an image sets for its pip and its uv.
func (c Clients) pypiInside(ctx context.Context) ([]said, error) {
	all, err := c.pypiSaid(ctx)
	if err != nil {
		return nil, err
	}
	ofUV, err := c.sayVariables(true, "UV_INDEX_URL", "UV_DEFAULT_INDEX")
	if err != nil {
		return nil, err
	}
	more, err := c.sayVariables(false, "UV_EXTRA_INDEX_URL", "UV_INDEX")
	return slices.Concat(all, ofUV, more), err
}

// pipKeys are the settings that name hosts, or say that there is no index.
var pipKeys = []string{"index-url", "extra-index-url", "find-links", "no-index"}

// pipSettings are those of pipKeys that are set.
func (c Clients) pipSettings(ctx context.Context) (map[string]setting, error) {
	paths, err := c.pipFiles()
	if err != nil {
		return nil, err
	}
	sections := map[string]map[string]setting{"global": {}, "install": {}}
	for _, path := range paths {
		text, err := c.read(ctx, path)
		if err != nil {
			return nil, err
		}
		if err := readPip(text, path, sections); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	settings := map[string]setting{}
	for _, key := range pipKeys {
		for _, section := range []string{"global", "install"} {
			if value, ok := sections[section][key]; ok {
				settings[key] = value
			}
		}
		name := "PIP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		if value := c.variable(name); value != "" {
			settings[key] = setting{value, name}
		}
	}
	return settings, nil
}

// pipFiles are pip's files, the last of which wins.
func (c Clients) pipFiles() ([]string, error) {
	named := c.variable("PIP_CONFIG_FILE")
	if named == os.DevNull {
		return nil, nil
	}
	if named != "" && !filepath.IsAbs(named) {
		return nil, errors.New("PIP_CONFIG_FILE is not an absolute path")
	}
	config, err := c.directory("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return nil, err
	}
	paths := []string{
		c.system("xdg", "pip", "pip.conf"), c.system("pip.conf"),
		filepath.Join(c.Home, ".pip", "pip.conf"), filepath.Join(config, "pip", "pip.conf"),
	}
	if c.from != nil { // an image has no project: sys.prefix, or a virtual environment
		for _, prefix := range absolute("/usr", "/usr/local", c.variable("VIRTUAL_ENV")) {
			paths = append(paths, filepath.Join(prefix, "pip.conf"))
		}
	}
	if named != "" {
		paths = append(paths, named)
	}
	return paths, nil
}

// readPip adds what a file says in the sections that there are. A line that
// begins with space continues the value before it.
func readPip(text, path string, sections map[string]map[string]setting) error {
	section, key := "", ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case line[0] == ' ' || line[0] == '\t':
			if key != "" && sections[section] != nil {
				sections[section][key] = setting{sections[section][key].text + " " + trimmed, path}
			}
		case trimmed[0] == '[':
			if !strings.HasSuffix(trimmed, "]") {
				return errors.New("the name of a section is not closed")
			}
			section, key = strings.Trim(trimmed, "[]"), ""
		default:
			end := strings.IndexAny(trimmed, "=:")
			if end < 0 {
				return errors.New("a line is no setting")
			}
			name := strings.ReplaceAll(strings.ToLower(strings.TrimSpace(trimmed[:end])), "_", "-")
			key = strings.TrimPrefix(name, "--")
			if sections[section] != nil {
				sections[section][key] = setting{strings.TrimSpace(trimmed[end+1:]), path}
			}
		}
	}
	return nil
}
