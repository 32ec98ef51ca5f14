package preset

import (
	"maps"
	"slices"
	"strings"
)

// fromImage are the hosts of a preset that variables of the image lead a client
// to in the bottle, whatever the clients on the host are configured for, and the
// variables that say so. Files of the image are not read, since that takes a
// container. None of these names hosts that more are reached through, so the
// checksum database that go asks beside its proxies stays the host's.
func (c Clients) fromImage(name string) (urls, variables []string) {
	switch name {
	case "npm":
		return c.imageURLs("NPM_CONFIG_REGISTRY", "npm_config_registry")
	case "pypi":
		return c.imageURLs("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX")
	case "go":
		urls, variables = c.imageURLs("GOPROXY")
		if url := databaseURL(c.Image["GOSUMDB"]); url != "" {
			urls, variables = append(urls, url), append(variables, "GOSUMDB")
		}
		return urls, variables
	case "crates":
		var names []string
		for _, variable := range slices.Sorted(maps.Keys(c.Image)) {
			if strings.HasPrefix(variable, "CARGO_REGISTRIES_") && strings.HasSuffix(variable, "_INDEX") {
				names = append(names, variable)
			}
		}
		urls, variables = c.imageURLs(names...)
		return cargoURLs(urls), variables
	}
	return nil, nil
}

// imageURLs are the addresses in variables of the image, in the forms of all
// clients: separated by space, commas or bars, with a name before them.
func (c Clients) imageURLs(names ...string) (urls, variables []string) {
	for _, name := range names {
		said := false
		for _, word := range strings.FieldsFunc(c.Image[name], func(r rune) bool { return strings.ContainsRune(" \t\n,|", r) }) {
			if before, after, ok := strings.Cut(word, "="); ok && !strings.Contains(before, "://") {
				word = after
			}
			if strings.Contains(word, "://") && !strings.HasPrefix(word, "file://") { // else direct, off
				urls, said = append(urls, word), true
			}
		}
		if said {
			variables = append(variables, name)
		}
	}
	return urls, variables
}

// adds says whether the hosts of the image's variables are beside those that
// the clients on the host know, and not in their place.
func adds(name string, variables []string) bool {
	switch name {
	case "crates": // they name further registries
		return true
	case "pypi":
		return !slices.ContainsFunc([]string{"PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"}, func(v string) bool {
			return slices.Contains(variables, v)
		})
	case "go":
		return !slices.Contains(variables, "GOPROXY")
	}
	return false
}

// ofImage puts the hosts that the image says into the place of those on the
// host, or beside them. search asks the clients on the host.
func (c Clients) ofImage(name string, search func() ([]Host, error)) ([]Host, error) {
	urls, variables := c.fromImage(name)
	if len(urls) == 0 {
		return search()
	}
	hosts, err := configured(name, urls, true)
	if err != nil {
		return nil, err
	}
	for i := range hosts {
		hosts[i].Image = strings.Join(variables, ", ")
	}
	if !adds(name, variables) {
		return hosts, nil
	}
	others, err := search()
	return append(others, hosts...), err
}
