package preset

import (
	"context"
	"errors"
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
	return hostsOf(urls)
}

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
