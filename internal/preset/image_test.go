package preset

import (
	"slices"
	"testing"
)

// What an image sets for the clients inside counts there, and what those of the
// host are configured for does not, unless it names more beside it.
func TestImageVariables(t *testing.T) {
	npm := program(t, "npm", `echo '{"registry": "https://npm.host.example"}'`)
	golang := program(t, "go", "echo https://go.host.example; echo off")
	for name, test := range map[string]struct {
		preset string
		image  map[string]string
		want   []string
	}{
		"npm":         {"npm", map[string]string{"npm_config_registry": "https://user:pw@npm.image.example:8443/x/"}, []string{"npm.image.example:8443 open"}},
		"npm, as big": {"npm", map[string]string{"NPM_CONFIG_REGISTRY": "http://npm.image.example/"}, []string{"npm.image.example:80 open"}},
		"npm, nothing": {
			"npm",
			map[string]string{"NPM_CONFIG_LOGLEVEL": "http://npm.image.example/", "NPM_CONFIG_REGISTRY": ""},
			[]string{"npm.host.example:443 open"},
		},
		"go": {
			"go",
			map[string]string{"GOPROXY": "https://go.image.example|https://b.image.example,direct", "GOSUMDB": "sum.image.example+key https://s.image.example"},
			[]string{"b.image.example:443 open", "go.image.example:443 open", "s.image.example:443 open"},
		},
		"go, the database alone": {"go", map[string]string{"GOSUMDB": "sum.image.example"}, []string{"go.host.example:443 open", "sum.image.example:443 open"}},
		"go, no proxy":           {"go", map[string]string{"GOPROXY": "off", "GOSUMDB": "off"}, []string{"go.host.example:443 open"}},
		"pip": {
			"pypi",
			map[string]string{"PIP_INDEX_URL": "https://pip.image.example/simple", "PIP_EXTRA_INDEX_URL": "https://more.image.example https://b.image.example"},
			[]string{"b.image.example:443 open", "more.image.example:443 open", "pip.image.example:443 open"},
		},
		"uv":           {"pypi", map[string]string{"UV_DEFAULT_INDEX": "corp=https://uv.image.example/simple"}, []string{"uv.image.example:443 open"}},
		"pip and more": {"pypi", map[string]string{"PIP_EXTRA_INDEX_URL": "https://more.image.example/simple"}, append(public(t, "pypi"), "more.image.example:443 open")},
		"cargo": {
			"crates",
			map[string]string{"CARGO_REGISTRIES_CORP_INDEX": "sparse+https://cargo.image.example/index/"},
			append(public(t, "crates"), "cargo.image.example:443 open"),
		},
		"no client reads it": {"rubygems", map[string]string{"GOPROXY": "https://go.image.example"}, public(t, "rubygems")},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t, "PATH", npm+":"+golang)
			c.Image = Image{ID: "sha256:1", Variables: test.image}
			slices.Sort(test.want)
			finds(t, c, test.preset, "", test.want...)
		})
	}
	c := person(t, "PATH", npm)
	c.Image = Image{ID: "sha256:1", Variables: map[string]string{"npm_config_registry": "nonsense://x"}}
	finds(t, c, "npm", "http://")
	c.Image.Variables = map[string]string{"NPM_CONFIG_REGISTRY": "https://a.image.example", "npm_config_registry": "https://b.image.example"}
	table, err := c.Find(t.Context(), []string{"npm"})
	if err != nil || len(table["npm"]) != 2 || table["npm"][0].Image != "NPM_CONFIG_REGISTRY" || table["npm"][1].Image != "npm_config_registry" {
		t.Errorf("%+v, %v", table, err)
	}
}
