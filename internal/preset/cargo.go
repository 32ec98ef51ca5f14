package preset

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// crates reads cargo's configuration in its home: source replacement and
// registries. Those of a project's .cargo directory are not read.
func (c Clients) crates(context.Context) ([]Host, error) {
	home, err := c.directory("CARGO_HOME", ".cargo")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(home, "config") // wins where both are there
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		path += ".toml"
	}
	text, err := read(path)
	if err != nil {
		return nil, err
	}
	tables, err := readCargo(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	urls, err := cargoRegistries(tables)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	source, replaced, err := cargoSource(tables)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if source != "" {
		urls = append(urls, source)
	}
	return configured("crates", cargoURLs(urls), replaced)
}

// cargoSource follows the replacement of the public registry to where it ends.
// The URL is empty where that is on this machine.
func cargoSource(tables map[string]map[string]string) (url string, replaced bool, err error) {
	const public = "crates-io"
	name := public
	for range len(tables) + 1 {
		source := tables["source."+name]
		if next := source["replace-with"]; next != "" {
			name, replaced = next, true
			continue
		}
		if !replaced {
			return source["registry"], source["registry"] != "", nil
		}
		if registry := tables["registries."+name]["index"]; source == nil && registry != "" {
			return registry, true, nil
		}
		switch {
		case source["registry"] != "":
			return source["registry"], true, nil
		case source["local-registry"] != "" || source["directory"] != "":
			return "", true, nil
		}
		return "", false, fmt.Errorf("the source %.100q, which replaces another, names no registry", name)
	}
	return "", false, errors.New("sources replace each other in a circle")
}

// cargoRegistries are the indexes of other registries.
func cargoRegistries(tables map[string]map[string]string) ([]string, error) {
	var urls []string
	for name, table := range tables {
		if !strings.HasPrefix(name, "registries.") {
			continue
		}
		// Cargo's own name for the public one, which may set a protocol alone.
		if index := table["index"]; index != "" {
			urls = append(urls, index)
		} else if name != "registries.crates-io" {
			return nil, errors.New("a registry has no index")
		}
	}
	return urls, nil
}

// cargoURLs takes cargo's prefix for its own protocol away.
func cargoURLs(urls []string) []string {
	plain := make([]string, len(urls))
	for i, url := range urls {
		plain[i] = strings.TrimPrefix(url, "sparse+")
	}
	return plain
}
