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

// pypi reads pip's configuration: its variables and its files, in pip's order
// (https://pip.pypa.io/en/stable/topics/configuration/). The file of a virtual
// environment, which may lie in the project, is not read.
func (c Clients) pypi(context.Context) ([]Host, error) {
	settings, err := c.pipSettings()
	if err != nil {
		return nil, err
	}
	urls := settings["extra-index-url"]
	for _, link := range settings["find-links"] {
		if strings.HasPrefix(link, "http://") || strings.HasPrefix(link, "https://") {
			urls = append(urls, link)
		}
	}
	noIndex := len(settings["no-index"]) > 0 &&
		slices.Contains([]string{"1", "true", "yes", "on", "y", "t"}, strings.ToLower(settings["no-index"][0]))
	switch index := settings["index-url"]; {
	case noIndex:
		return hostsOf(settings["find-links"])
	case len(index) > 1:
		return nil, errors.New("pip has more than one index-url")
	case len(index) == 1:
		urls = append(urls, index[0])
	}
	return configured("pypi", urls, len(settings["index-url"]) > 0)
}

// pipKeys are the settings that name hosts, or say that there is no index.
var pipKeys = []string{"index-url", "extra-index-url", "find-links", "no-index"}

// pipSettings are the words of each of pipKeys.
func (c Clients) pipSettings() (map[string][]string, error) {
	paths, err := c.pipFiles()
	if err != nil {
		return nil, err
	}
	sections := map[string]map[string]string{"global": {}, "install": {}}
	for _, path := range paths {
		text, err := read(path)
		if err != nil {
			return nil, err
		}
		if err := readPip(text, sections); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	settings := map[string][]string{}
	for _, key := range pipKeys {
		for _, section := range []string{"global", "install"} {
			if value, ok := sections[section][key]; ok {
				settings[key] = strings.Fields(value)
			}
		}
		name := "PIP_" + strings.ToUpper(strings.ReplaceAll(key, "-", "_"))
		if value := c.variable(name); value != "" {
			settings[key] = strings.Fields(value)
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
	if named != "" {
		paths = append(paths, named)
	}
	return paths, nil
}

// readPip adds what a file says in the sections that there are. A line that
// begins with space continues the value before it.
func readPip(text string, sections map[string]map[string]string) error {
	section, key := "", ""
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#' || trimmed[0] == ';':
		case line[0] == ' ' || line[0] == '\t':
			if key != "" && sections[section] != nil {
				sections[section][key] += " " + trimmed
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
				sections[section][key] = strings.TrimSpace(trimmed[end+1:])
			}
		}
	}
	return nil
}
