package preset

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// cratesSaid reads cargo's configuration in its home: source replacement and
// registries. Those of a project's .cargo directory are not read.
func (c Clients) cratesSaid(ctx context.Context) ([]said, error) {
	home, err := c.directory("CARGO_HOME", ".cargo")
	if err != nil {
		return nil, err
	}
	path := filepath.Join(home, "config") // wins where both are there
	text, found, err := c.files().Read(ctx, path)
	if err == nil && !found {
		path += ".toml"
		text, err = c.read(ctx, path)
	}
	if err != nil {
		return nil, err
	}
	all, err := sayCargo(text, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

func sayCargo(text, path string) ([]said, error) {
	tables, err := readCargo(text)
	if err != nil {
		return nil, err
	}
	urls, err := cargoRegistries(tables)
	if err != nil {
		return nil, err
	}
	all, err := sayAll(cargoURLs(urls), path, false)
	if err != nil {
		return nil, err
	}
	source, replaces, err := cargoSource(tables)
	if err != nil || source == "" {
		if replaces {
			all = append(all, said{By: path, Replaces: true})
		}
		return all, err
	}
	one, err := say(strings.TrimPrefix(source, "sparse+"), path, replaces)
	return append(all, one), err
}

// cratesInside finds what an image sets for its cargo. Its variables name
// further registries.
func (c Clients) cratesInside(ctx context.Context) ([]said, error) {
	all, err := c.cratesSaid(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range c.names {
		if !strings.HasPrefix(name, "CARGO_REGISTRIES_") || !strings.HasSuffix(name, "_INDEX") {
			continue
		}
		found, err := sayAll(cargoURLs(addresses(c.variable(name))), name, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
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
