package preset

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"claude-bottle/internal/hint"
)

// rooted are the files below a directory, which stands for an image.
type rooted struct{ dir string }

func (r rooted) Read(ctx context.Context, path string) (string, bool, error) {
	return machine{}.Read(ctx, filepath.Join(r.dir, path))
}

func (r rooted) List(ctx context.Context, dir string) ([]string, error) {
	return machine{}.List(ctx, filepath.Join(r.dir, dir))
}

// imageOf is an image with files and variables; opened counts how often it is
// looked into.
func imageOf(t *testing.T, files, variables map[string]string) (_ Image, opened *int) {
	t.Helper()
	dir := t.TempDir()
	for path, text := range files {
		write(t, filepath.Join(dir, path), text)
	}
	opened = new(int)
	return Image{
		ID: "sha256:1", Variables: variables, Hidden: []string{"/home/node"},
		Open: func(context.Context) (Files, func() error, error) {
			*opened++
			return rooted{dir}, func() error { return nil }, nil
		},
	}, opened
}

// TestImageFiles: the files of clients in an image count there as they do for
// the clients, by their order and beside variables. Home is not the image's.
func TestImageFiles(t *testing.T) {
	npm := program(t, "npm", `echo '{"registry": "https://npm.host.example"}'`)
	golang := program(t, "go", "echo https://go.host.example; echo off")
	const apt = "/etc/apt/sources.list.d/debian.sources"
	for name, test := range map[string]struct {
		preset           string
		files, variables map[string]string
		failure          string
		want             []string // HOST:PORT by what says it; nothing of the host's
	}{
		"npm, global": {
			preset: "npm",
			files:  map[string]string{"/usr/local/etc/npmrc": "; ours\nregistry = \"https://me:s3cret@npm.image.example:8443/x/\"\n//npm.image.example/:_authToken=s3cret\n"},
			want:   []string{"npm.image.example:8443 by /usr/local/etc/npmrc"},
		},
		"npm, global before what it brings": {
			preset: "npm",
			files: map[string]string{
				"/etc/npmrc":                          "registry=https://a.image.example\n",
				"/usr/lib/node_modules/npm/npmrc":     "registry=https://b.image.example\n@x:registry=https://c.image.example\n",
				"/usr/local/lib/node_modules/npm/npm": "registry=https://d.image.example\n",
			},
			want: []string{"a.image.example:443 by /etc/npmrc", "c.image.example:443 by /usr/lib/node_modules/npm/npmrc"},
		},
		"npm, variable before files": {
			preset: "npm", files: map[string]string{"/etc/npmrc": "registry=https://a.image.example\n@x:registry=http://c.image.example\n"},
			variables: map[string]string{"npm_config_registry": "https://v.image.example"},
			want:      []string{"c.image.example:80 by /etc/npmrc", "v.image.example:443 by npm_config_registry"},
		},
		"npm, files that variables name": {
			preset: "npm", files: map[string]string{"/opt/p/etc/npmrc": "registry=https://a.image.example\n", "/opt/u": "registry=https://u.image.example\n"},
			variables: map[string]string{"NPM_CONFIG_PREFIX": "/opt/p", "NPM_CONFIG_USERCONFIG": "/opt/u", "NPM_CONFIG_GLOBALCONFIG": "relative"},
			want:      []string{"u.image.example:443 by /opt/u"},
		},
		"npm, a scope alone": {
			preset: "npm", files: map[string]string{"/etc/npmrc": "@x:registry=https://c.image.example\n"},
			want: []string{"c.image.example:443 by /etc/npmrc", "npm.host.example:443 by "},
		},
		"npm, in a home": {
			preset: "npm", files: map[string]string{"/home/node/.npmrc": "registry=https://a.image.example\n"},
			variables: map[string]string{"NPM_CONFIG_USERCONFIG": "/home/node/.npmrc"},
			want:      []string{"npm.host.example:443 by "},
		},
		"npm, a section":  {preset: "npm", files: map[string]string{"/etc/npmrc": "[x]\nregistry=https://a.image.example\n"}, want: []string{"npm.host.example:443 by "}},
		"npm, other way":  {preset: "npm", files: map[string]string{"/etc/npmrc": "registry=${REGISTRY}\n"}, failure: "preset npm: in the image: /etc/npmrc: not an http://"},
		"npm, no text":    {preset: "npm", files: map[string]string{"/etc/npmrc": "\x00\xff\x1b[2Jregistry\n=\nregistry=https://\x1b]52;a/\n"}, failure: "not a URL"},
		"npm, a long one": {preset: "npm", files: map[string]string{"/etc/npmrc": strings.Repeat("x", MaxFile+1)}, failure: "longer than"},
		"go": {
			preset: "go", files: map[string]string{"/usr/local/go/go.env": "# go\nGOPROXY=https://a.image.example|https://b.image.example,direct\nGOSUMDB=off\n"},
			want: []string{"a.image.example:443 by /usr/local/go/go.env", "b.image.example:443 by /usr/local/go/go.env"},
		},
		"go, as shipped": {
			preset: "go", files: map[string]string{"/usr/local/go/go.env": "GOPROXY=" + shippedProxy + "\nGOSUMDB=" + shippedDatabase + "\nGOTOOLCHAIN=auto\n"},
			want: []string{"go.host.example:443 by "},
		},
		"go, its own file first": {
			preset: "go", files: map[string]string{"/opt/go.env": "GOPROXY=https://a.image.example\n", "/opt/go/go.env": "GOPROXY=https://b.image.example\nGOSUMDB=s.image.example\n"},
			variables: map[string]string{"GOROOT": "/opt/go", "GOENV": "/opt/go.env"},
			want:      []string{"a.image.example:443 by /opt/go.env", "s.image.example:443 by /opt/go/go.env"},
		},
		"pip": {
			preset: "pypi", files: map[string]string{"/etc/pip.conf": "[global]\nindex-url = https://a.image.example/simple\n", "/opt/v/pip.conf": "[global]\nextra-index-url = https://b.image.example/simple\n"},
			variables: map[string]string{"VIRTUAL_ENV": "/opt/v"},
			want:      []string{"a.image.example:443 by /etc/pip.conf", "b.image.example:443 by /opt/v/pip.conf"},
		},
		"pip, variable before file": {
			preset: "pypi", files: map[string]string{"/etc/pip.conf": "[global]\nindex-url = https://a.image.example/simple\n"},
			variables: map[string]string{"PIP_INDEX_URL": "https://v.image.example/simple"},
			want:      []string{"v.image.example:443 by PIP_INDEX_URL"},
		},
		"pip, no index":  {preset: "pypi", files: map[string]string{"/etc/pip.conf": "[global]\nno-index = yes\n"}, failure: "names no host"},
		"pip, no syntax": {preset: "pypi", files: map[string]string{"/etc/pip.conf": "[global\n"}, failure: "in the image: /etc/pip.conf: "},
		"cargo": {
			preset: "crates", files: map[string]string{"/usr/local/cargo/config.toml": "[source.crates-io]\nreplace-with = \"c\"\n[source.c]\nregistry = \"sparse+https://a.image.example/\"\n"},
			variables: map[string]string{"CARGO_HOME": "/usr/local/cargo"},
			want:      []string{"a.image.example:443 by /usr/local/cargo/config.toml"},
		},
		"cargo, a directory": {
			preset: "crates", files: map[string]string{"/c/config.toml": "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"/srv\"\n"},
			variables: map[string]string{"CARGO_HOME": "/c"}, failure: "names no host",
		},
		"maven": {
			preset: "maven", files: map[string]string{"/usr/share/maven/conf/settings.xml": "<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>https://a.image.example/m2</url></mirror></mirrors></settings>"},
			want: []string{"a.image.example:443 by /usr/share/maven/conf/settings.xml"},
		},
		"maven, elsewhere": {
			preset: "maven", files: map[string]string{
				"/opt/m/conf/settings.xml":           "<settings><mirrors><mirror><mirrorOf>central</mirrorOf><url>https://a.image.example/m2</url></mirror></mirrors></settings>",
				"/usr/share/maven/conf/settings.xml": "not read",
			},
			variables: map[string]string{"MAVEN_HOME": "/opt/m"},
			want:      []string{"a.image.example:443 by /opt/m/conf/settings.xml"},
		},
		"apt": {
			preset: "debian", files: map[string]string{"/etc/apt/sources.list": "deb http://a.image.example/debian trixie main\n", apt: "Types: deb\nURIs: https://b.image.example/debian\nSuites: trixie\n"},
			want: []string{"a.image.example:80 by /etc/apt/sources.list", "b.image.example:443 by " + apt},
		},
		"apt, a list of mirrors": {
			preset: "debian", files: map[string]string{"/etc/apt/sources.list": "deb mirror+file:/etc/mirrors trixie main\n", "/etc/mirrors": "https://m.image.example/debian\n"},
			want: []string{"m.image.example:443 by /etc/mirrors"},
		},
		"nothing": {preset: "npm", want: []string{"npm.host.example:443 by "}},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t, "PATH", npm+":"+golang)
			c.Image, _ = imageOf(t, test.files, test.variables)
			table, err := c.Find(t.Context(), []string{test.preset})
			if test.failure != "" {
				if err == nil || !strings.Contains(err.Error(), test.failure) || hint.Of(err) == "" {
					t.Errorf("%v, error %v, want %q", table, err, test.failure)
				}
				if err != nil && (strings.Contains(err.Error(), "s3cret") || strings.ContainsAny(err.Error(), "\x00\x1b") || !utf8.ValidString(err.Error())) {
					t.Errorf("the error holds what it must not: %q", err)
				}
				return
			}
			var got []string
			for i, host := range table[test.preset] {
				got = append(got, strings.TrimSuffix(shown(table[test.preset])[i], " open")+" by "+host.Image)
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("%q, %v, want %q", got, err, test.want)
			}
		})
	}
}

// TestImageIsReadOnce: what an image said is kept, without secrets, and is asked
// for anew when the image is another one, or nobody understood it.
func TestImageIsReadOnce(t *testing.T) {
	c := person(t)
	image, opened := imageOf(t, map[string]string{
		"/etc/npmrc":            "registry=https://me:s3cret@npm.image.example/s3cret?s3cret\n",
		"/etc/apt/sources.list": "deb http://me:s3cret@deb.image.example/ ./\n",
		"/etc/pip.conf":         "[global\n",
	}, nil)
	image.Kept = filepath.Join(t.TempDir(), "images", "1.json")
	c.Image = image
	find := func(want int, names ...string) {
		t.Helper()
		table, err := c.Find(t.Context(), names)
		if err != nil || *opened != want || len(table) != len(names) {
			t.Errorf("%v, %v, opened %d times, want %d", table, err, *opened, want)
		}
	}
	find(1, "npm")
	find(1, "npm")
	find(2, "npm", "debian")
	find(2, "debian", "npm", "rubygems")
	c.Image = image.Remembered()
	c.Image.Variables = map[string]string{"PIP_INDEX_URL": "https://pip.image.example"}
	find(2, "npm", "pypi")
	c.Image = image
	data, err := os.ReadFile(image.Kept)
	if err != nil || strings.Contains(string(data), "s3cret") || !strings.Contains(string(data), "deb.image.example") || strings.Contains(string(data), "pip.image.example") {
		t.Errorf("kept: %s, %v", data, err)
	}
	if info, err := os.Stat(image.Kept); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := c.Find(t.Context(), []string{"pypi"}); err == nil {
		t.Error("what is not understood is no error")
	}
	if _, err := c.Find(t.Context(), []string{"pypi"}); err == nil || *opened != 4 {
		t.Errorf("an error was kept: %v, opened %d times", err, *opened)
	}
	for name, other := range map[string]func(*Image){
		"image": func(i *Image) { i.ID = "sha256:2" },
		"home":  func(i *Image) { i.Hidden = []string{"/root"} },
	} {
		c.Image = image
		other(&c.Image)
		before := *opened
		if find(before+1, "npm"); t.Failed() {
			t.Fatal("another", name)
		}
	}
	for _, damage := range []string{"", "{", `{"version":1}`, strings.Replace(string(data), `"version":1`, `"version":0`, 1)} {
		c.Image = image
		if err := os.WriteFile(image.Kept, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		find(*opened+1, "npm")
	}
}

// TestImageThatCannotBeRead: nothing is guessed, and what was opened is closed.
func TestImageThatCannotBeRead(t *testing.T) {
	c := person(t)
	closed := 0
	broken := errors.New("the engine is gone")
	for name, open := range map[string]func(context.Context) (Files, func() error, error){
		"no container": func(context.Context) (Files, func() error, error) { return nil, nil, broken },
		"left over": func(context.Context) (Files, func() error, error) {
			return nowhere{}, func() error { closed++; return broken }, nil
		},
	} {
		c.Image = Image{ID: "sha256:1", Open: open}
		if _, err := c.Find(t.Context(), []string{"maven"}); !errors.Is(err, broken) || hint.Of(err) == "" {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	if _, err := c.Find(t.Context(), []string{"rubygems"}); err != nil {
		t.Errorf("an image that says nothing of the preset was opened: %v", err)
	}
}

// FuzzImageFiles: whatever is in an image's files, hosts are normalised names,
// with ports, and nothing else comes of it.
func FuzzImageFiles(f *testing.F) {
	f.Add("registry=https://a.image.example\n@x:registry=http://b.image.example:1\n")
	f.Add("[global]\nindex-url = https://a.image.example/simple\n https://x\n")
	f.Add("GOPROXY=https://a.image.example|off\nGOSUMDB=a+b c\n")
	f.Add("Types: deb\nURIs: mirror+file:/f\n\n")
	f.Add("<settings><mirrors><mirror><mirrorOf>*</mirrorOf><url>https://a</url></mirror></mirrors></settings>")
	f.Fuzz(func(t *testing.T, text string) {
		image := Image{
			ID: "sha256:1", Variables: map[string]string{"CARGO_HOME": "/c", "GOROOT": "/g", "GOENV": text, "VIRTUAL_ENV": text},
			Open: func(context.Context) (Files, func() error, error) {
				return same(text), func() error { return nil }, nil
			},
		}
		for _, name := range slices.Sorted(maps.Keys(imageFinders())) {
			all, err := image.ask(t.Context(), []string{name})
			if err != nil {
				if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' && r != '\n' }) {
					t.Errorf("%s: the error is %q", name, err)
				}
				continue
			}
			data, err := json.Marshal(all)
			if err != nil || !json.Valid(data) {
				t.Fatal(err)
			}
			for _, one := range all[name] {
				if again, err := hostOf("https://" + bracketed(one.Host) + "/"); one.Host != "" && (err != nil || again.Host != one.Host || one.Port < 1 || one.Port > 65535) {
					t.Errorf("%s: %+v, %v", name, one, err)
				}
			}
		}
	})
}

// same is a tree whose every file has one text.
type same string

func (s same) Read(context.Context, string) (string, bool, error) { return string(s), true, nil }
func (s same) List(context.Context, string) ([]string, error) {
	return []string{"a.list", "b.sources", "c"}, nil
}

func bracketed(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}
