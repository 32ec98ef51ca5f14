package cli

import (
	"slices"
	"testing"

	"claude-bottle/internal/preset"
	"claude-bottle/internal/wire"
)

// What a person is offered is read on a terminal before it is chosen: it says
// what it allows, as the request was, and no text of the bottle's makes it more.
func TestProposals(t *testing.T) {
	presets := preset.Table{"pypi": {{Host: "a.example", Port: 443}, {Host: "files.example", Port: 443}}}
	for name, test := range map[string]struct {
		question wire.Question
		want     []string
	}{
		"plain":         {wire.Question{Host: "b.example", Port: 80, Kind: "http", Method: "GET", Path: "/x"}, []string{"GET http://b.example/x", "b.example"}},
		"plain, a port": {wire.Question{Host: "b.example", Port: 8080, Kind: "http", Method: "PUT", Path: "/x"}, []string{"PUT http://b.example:8080/x", "b.example:8080"}},
		"inside TLS": {wire.Question{Host: "a.example", Port: 443, Kind: "https", Method: "GET", Path: "/x"}, []string{
			"GET https://a.example/x", "a.example", "preset pypi: GET and HEAD to a.example, files.example",
		}},
		"TLS unseen": {wire.Question{Host: "b.example", Port: 443, Kind: "connect"}, []string{"b.example"}},
		"a tunnel":   {wire.Question{Host: "b.example", Port: 5432, Kind: "connect"}, []string{"b.example:5432", "tcp://b.example:5432"}},
		"a look-up":  {wire.Question{Host: "b.example", Kind: "dns", Method: "A"}, []string{"b.example"}},
		"stars":      {wire.Question{Host: "b.example", Port: 80, Kind: "http", Method: "GET", Path: "/**"}, []string{"GET http://b.example/%2A%2A", "b.example"}},
		"ambiguous":  {wire.Question{Host: "b.example", Port: 80, Kind: "http", Method: "GET", Path: "/a/../b"}, []string{"b.example"}},
		"no rule":    {wire.Question{Host: "b.example", Port: 8080, Kind: "http", Method: "GET", Path: "/a/../b"}, []string{"b.example:8080"}},
	} {
		var got []string
		for _, one := range proposals(test.question, presets) {
			got = append(got, one.text())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}
