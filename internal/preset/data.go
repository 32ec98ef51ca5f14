package preset

import (
	_ "embed" // the file below
	"encoding/json"
	"fmt"
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
