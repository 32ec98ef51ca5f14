package preset

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
)

// golang asks go for its module proxies and its checksum database. "direct"
// needs a version control system and any host at all, so it opens nothing.
func (c Clients) golang(ctx context.Context) ([]Host, error) {
	own := []string{"GOPROXY", "GOSUMDB", "GOENV", "GOROOT", "XDG_CONFIG_HOME"}
	// No toolchain is fetched, and no file of a module is looked for.
	extra := []string{"GOTOOLCHAIN=local", "GOFLAGS=", "GO111MODULE=on", "GOWORK=off"}
	out, err := c.ask(ctx, "go", []string{"env", "GOPROXY", "GOSUMDB"}, own, extra)
	if err != nil {
		return nil, err
	}
	proxies, database, ok := strings.Cut(strings.TrimRight(string(out), "\r\n"), "\n")
	if !ok {
		return nil, errors.New("go does not say GOPROXY and GOSUMDB")
	}
	var urls []string
	for _, proxy := range strings.FieldsFunc(proxies, func(r rune) bool { return r == ',' || r == '|' }) {
		proxy = strings.TrimSpace(proxy)
		if proxy != "" && proxy != "direct" && proxy != "off" && !strings.HasPrefix(proxy, "file://") {
			urls = append(urls, proxy)
		}
	}
	if len(urls) == 0 {
		return nil, errors.New("GOPROXY names no proxy")
	}
	if url := databaseURL(strings.TrimSpace(database)); url != "" {
		urls = append(urls, url)
	}
	all, err := sayAll(urls, "go env", true)
	if err != nil {
		return nil, err
	}
	return configured("go", all, true, false)
}

// golangInside finds what an image sets for its go: by variables, else in the
// files that GOENV names and go brings (go help environment). What go.env says
// as it is shipped is nothing that anybody set.
func (c Clients) golangInside(ctx context.Context) ([]said, error) {
	paths := absolute(c.variable("GOENV"))
	roots := absolute(c.variable("GOROOT"))
	if len(roots) == 0 {
		roots = []string{"/usr/local/go", "/usr/lib/go"}
	}
	for _, root := range roots {
		paths = append(paths, path.Join(root, "go.env"))
	}
	proxy, database := setting{c.variable("GOPROXY"), "GOPROXY"}, setting{c.variable("GOSUMDB"), "GOSUMDB"}
	for _, path := range paths {
		text, err := c.read(ctx, path)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(text) {
			switch name, value, _ := strings.Cut(strings.TrimSpace(line), "="); {
			case name == "GOPROXY" && proxy.text == "" && value != shippedProxy:
				proxy = setting{value, path}
			case name == "GOSUMDB" && database.text == "" && value != shippedDatabase:
				database = setting{value, path}
			}
		}
	}
	all, err := sayAll(addresses(proxy.text), proxy.by, true)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", proxy.by, err)
	}
	if url := databaseURL(database.text); url != "" {
		one, err := say(url, database.by, false)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", database.by, err)
		}
		all = append(all, one)
	}
	return all, nil
}

// What go.env says before anybody changes it.
const (
	shippedProxy    = "https://proxy.golang.org,direct"
	shippedDatabase = "sum.golang.org"
)

// setting is a value of a client's, and the file or the variable that has it.
type setting struct{ text, by string }

// databaseURL is where the checksum database of GOSUMDB is: NAME, NAME+KEY or
// NAME+KEY URL, where without a URL the name is where it is; see go help
// environment. It is empty for "off".
func databaseURL(text string) string {
	fields := strings.Fields(text)
	switch {
	case len(fields) == 0 || fields[0] == "off":
		return ""
	case len(fields) > 1:
		return fields[1]
	}
	name, _, _ := strings.Cut(fields[0], "+")
	return "https://" + name
}
