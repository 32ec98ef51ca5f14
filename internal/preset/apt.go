package preset

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"claude-bottle/internal/hint"
)

// debianSaid reads apt's sources, of both forms (man 5 sources.list).
func (c Clients) debianSaid(ctx context.Context) ([]said, error) {
	paths := []string{c.system("apt", "sources.list")}
	parts := c.system("apt", "sources.list.d")
	names, err := c.files().List(ctx, parts)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".list") || strings.HasSuffix(name, ".sources") {
			paths = append(paths, filepath.Join(parts, name))
		}
	}
	var all []said
	for _, path := range paths {
		text, err := c.read(ctx, path)
		if err != nil {
			return nil, err
		}
		parse := oneLine
		if strings.HasSuffix(path, ".sources") {
			parse = deb822
		}
		uris, err := parse(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		found, err := c.aptHosts(ctx, uris, path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// debian is the finder of its preset: there are no public hosts beside those
// that apt knows.
func (c Clients) debian(ctx context.Context) ([]Host, error) {
	all, err := c.debianSaid(ctx)
	if err == nil && len(all) == 0 {
		err = hint.With(errors.New("no apt on this machine whose sources name a mirror"),
			"list the mirror in egress.rules in place of the preset")
	}
	if err != nil {
		return nil, err
	}
	return configured("debian", all, true, false)
}

// oneLine reads lines "deb [ OPTIONS ] URI SUITE COMPONENT…".
func oneLine(text string) ([]string, error) {
	var uris []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		if fields[0] != "deb" && fields[0] != "deb-src" {
			return nil, errors.New("a line begins with neither deb nor deb-src")
		}
		rest := strings.TrimSpace(line[strings.Index(line, fields[0])+len(fields[0]):])
		if strings.HasPrefix(rest, "[") {
			_, after, closed := strings.Cut(rest, "]")
			if !closed {
				return nil, errors.New("the options of a line are not closed")
			}
			rest = after
		}
		fields = strings.Fields(rest)
		if len(fields) < 2 {
			return nil, errors.New("a line has no suite")
		}
		uris = append(uris, fields[0])
	}
	return uris, nil
}

// deb822 reads stanzas whose field URIs lists what is meant, unless the field
// Enabled says no.
func deb822(text string) ([]string, error) {
	var all, uris []string
	enabled, field := true, ""
	end := func() {
		if enabled {
			all = append(all, uris...)
		}
		uris, enabled, field = nil, true, ""
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		value := line
		switch {
		case strings.HasPrefix(line, "#"):
			continue
		case line == "":
			end()
			continue
		case line[0] != ' ' && line[0] != '\t':
			name, rest, ok := strings.Cut(line, ":")
			if !ok || strings.ContainsAny(name, " \t") {
				return nil, errors.New("a line is not a field")
			}
			field, value = strings.ToLower(name), rest
		}
		switch value = strings.TrimSpace(value); field {
		case "":
			return nil, errors.New("a line continues no field")
		case "uris":
			uris = append(uris, strings.Fields(value)...)
		case "enabled":
			enabled = !slices.Contains([]string{"no", "false", "without", "off", "disable", "0"}, strings.ToLower(value))
		}
	}
	end()
	return all, nil
}

// aptHosts are the hosts of URIs that a file has. What lies on the machine itself
// needs none.
func (c Clients) aptHosts(ctx context.Context, uris []string, by string) ([]said, error) {
	var all []said
	for _, uri := range uris {
		scheme, rest, _ := strings.Cut(uri, ":")
		switch scheme {
		case "file", "copy", "cdrom":
			continue
		case "mirror+file", "mirror+copy":
			listed, err := c.mirrors(ctx, strings.TrimPrefix(rest, "//"))
			if err != nil {
				return nil, err
			}
			all = append(all, listed...)
			continue
		case "mirror+http", "mirror+https":
			return nil, errors.New("a list of mirrors is on another host, and which mirrors it names is not known")
		}
		one, err := say(uri, by, true)
		if err != nil {
			return nil, fmt.Errorf("a source: %w", err)
		}
		one.Trusted = true // of distributions; who publishes there is chosen
		all = append(all, one)
	}
	return all, nil
}

// mirrors reads a file of mirrors, a line each, the URI first (man 1
// apt-transport-mirror).
func (c Clients) mirrors(ctx context.Context, path string) ([]said, error) {
	if !filepath.IsAbs(path) {
		return nil, errors.New("a list of mirrors is not an absolute path")
	}
	text, found, err := c.files().Read(ctx, path)
	if err == nil && !found {
		err = fmt.Errorf("no such file: %.200q", path)
	}
	if err != nil {
		return nil, err
	}
	var uris []string
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 0 && !strings.HasPrefix(fields[0], "#") {
			if strings.HasPrefix(fields[0], "mirror+") {
				return nil, errors.New("a list of mirrors names another list")
			}
			uris = append(uris, fields[0])
		}
	}
	return c.aptHosts(ctx, uris, path)
}
