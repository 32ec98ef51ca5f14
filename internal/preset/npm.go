package preset

import (
	"context"
	"encoding/json"
	"errors"
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
	return hostsOf(urls)
}
