package preset

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// npm asks npm for its registry and those of scopes. A project's .npmrc is not
// read where npm is asked; and the variables that npm sets for a script, which
// repeat that file, are not handed on.
func (c Clients) npm(ctx context.Context) ([]Host, error) {
	own := []string{"NPM_CONFIG_USERCONFIG", "NPM_CONFIG_GLOBALCONFIG", "NPM_CONFIG_PREFIX", "NPM_CONFIG_REGISTRY"}
	if c.variable("npm_lifecycle_event") == "" {
		for _, name := range own[:4:4] {
			own = append(own, "npm_config_"+strings.ToLower(strings.TrimPrefix(name, "NPM_CONFIG_")))
		}
	}
	out, err := c.ask(ctx, "npm", []string{"config", "list", "--json"}, own, []string{"npm_config_update_notifier=false"})
	if err != nil {
		return nil, err
	}
	var settings map[string]any
	if err := json.Unmarshal(out, &settings); err != nil {
		return nil, errors.New("npm's configuration is not JSON")
	}
	if _, ok := settings["registry"].(string); !ok {
		return nil, errors.New("npm names no registry")
	}
	var urls []string
	for key, value := range settings {
		scoped := strings.HasPrefix(key, "@") && strings.HasSuffix(key, ":registry")
		if text, ok := value.(string); ok && (key == "registry" || scoped) {
			urls = append(urls, text)
		}
	}
	all, err := sayAll(urls, "npm config", true)
	if err != nil {
		return nil, err
	}
	return configured("npm", all, true, false)
}

// npmInside finds what an image sets for its npm: by variables, else in the
// first of its files that says it (https://docs.npmjs.com/cli/configuring-npm/npmrc),
// which lie where node is installed. Registries of scopes are beside the one
// that all else is fetched from.
func (c Clients) npmInside(ctx context.Context) ([]said, error) {
	all, err := c.sayVariables(true, "NPM_CONFIG_REGISTRY", "npm_config_registry")
	if err != nil {
		return nil, err
	}
	var builtin []string
	for _, dir := range []string{"/usr/local/lib/node_modules/npm", "/usr/lib/node_modules/npm", "/usr/share/nodejs/npm"} {
		builtin = append(builtin, path.Join(dir, "npmrc"))
	}
	global := absolute(c.eitherCase("GLOBALCONFIG"))
	for _, prefix := range absolute(c.eitherCase("PREFIX"), "/usr/local", "/usr") {
		global = append(global, path.Join(prefix, "etc", "npmrc"))
	}
	global = append(global, "/etc/npmrc") // Debian's npm has it there
	for _, level := range [][]string{absolute(c.eitherCase("USERCONFIG")), global, builtin} {
		overridden := replaced(all)
		for _, path := range level {
			found, err := c.npmrc(ctx, path, overridden)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			all = append(all, found...)
		}
	}
	return all, nil
}

// eitherCase is a setting of npm's by its variable.
func (c Clients) eitherCase(name string) string {
	return cmp.Or(c.variable("NPM_CONFIG_"+name), c.variable("npm_config_"+strings.ToLower(name)))
}

// npmrc reads one file, without the registry that something before it says.
func (c Clients) npmrc(ctx context.Context, path string, overridden bool) ([]said, error) {
	text, err := c.read(ctx, path)
	if err != nil {
		return nil, err
	}
	var all []said
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			break // a section, whose settings are no registries
		}
		key, value, ok := strings.Cut(line, "=")
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
		scoped := strings.HasPrefix(key, "@") && strings.HasSuffix(key, ":registry")
		if !ok || !scoped && (key != "registry" || overridden) {
			continue
		}
		one, err := say(value, path, key == "registry")
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}
