package preset

import (
	_ "embed" // the file below
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// file is where hosts come from that no client is asked for. It has no row of
// npm, go and debian, whose clients know.
//
//go:embed hosts.json
var file []byte

// row is one preset in that file.
type row struct {
	// Source is where the hosts were read, and when.
	Source string `json:"source"`
	Hosts  []struct {
		Host  string   `json:"host"`
		Paths []string `json:"paths"`
		Open  bool     `json:"open"`
	} `json:"hosts"`
}

// rows reads the file when it is first needed.
var rows = sync.OnceValues(func() (map[string]row, error) {
	var data struct {
		Version int            `json:"version"`
		Presets map[string]row `json:"presets"`
	}
	if err := json.Unmarshal(file, &data); err != nil {
		return nil, fmt.Errorf("read the hosts of presets: %w", err)
	}
	return data.Presets, nil
})

// known are the hosts that the file has for a preset.
func known(name string) ([]Host, error) {
	presets, err := rows()
	if err != nil {
		return nil, err
	}
	var hosts []Host
	for _, h := range presets[name].Hosts {
		hosts = append(hosts, Host{Host: h.Host, Port: 443, Paths: h.Paths, Open: h.Open})
	}
	return hosts, nil
}

// configured are the hosts of the URLs that a client is configured for, and
// those of the file unless the client replaced them. Who names the public
// registry gets all that belongs to it.
func configured(name string, urls []string, replaced bool) ([]Host, error) {
	hosts, err := hostsOf(urls)
	if err != nil {
		return nil, err
	}
	public, err := known(name)
	if err != nil {
		return nil, err
	}
	isPublic := func(h Host) bool {
		return slices.ContainsFunc(public, func(p Host) bool { return p.Host == h.Host && p.Port == h.Port })
	}
	if !replaced || slices.ContainsFunc(hosts, isPublic) {
		hosts = append(slices.DeleteFunc(hosts, isPublic), public...)
	}
	return hosts, nil
}
