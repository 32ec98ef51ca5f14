package preset

import (
	"path/filepath"
	"strings"
	"testing"

	"claude-bottle/internal/policy"
)

func TestDebian(t *testing.T) {
	for name, test := range map[string]struct {
		files   map[string]string
		failure string
		want    []string
	}{
		"one line": {map[string]string{
			"sources.list": "# a comment\ndeb http://deb.mirror.example/debian trixie main\n" +
				"deb-src [ arch=amd64 signed-by=/x ] https://src.mirror.example:8443/debian trixie main # why\n",
			"sources.list.d/b.list":     "deb [trusted=yes] http://user:pw@b.mirror.example/ ./\ndeb cdrom:[Debian]/ trixie main\ndeb file:///srv ./\n",
			"sources.list.d/c.disabled": "nonsense",
		}, "", []string{"b.mirror.example:80", "deb.mirror.example:80", "src.mirror.example:8443"}},
		"deb822": {map[string]string{
			"sources.list.d/a.sources": "# why\nTypes: deb\nURIs: https://a.mirror.example/debian\n http://b.mirror.example\n# inside\nSuites: trixie\nEnabled: yes\n\n" +
				"Types: deb\nEnabled: no\nURIs: https://off.mirror.example\n\nuris: https://c.mirror.example\nSigned-By:\n -----BEGIN\n .\n URIs: https://no.mirror.example\n",
		}, "", []string{"a.mirror.example:443", "b.mirror.example:80", "c.mirror.example:443"}},
		"list of mirrors": {map[string]string{
			"sources.list":   "deb mirror+file:SYSTEM/apt/mirrors/m.list trixie main\n",
			"mirrors/m.list": "# which\nhttps://m.mirror.example/debian priority:1\n",
		}, "", []string{"m.mirror.example:443"}},
		"no list of mirrors": {map[string]string{"sources.list": "deb mirror+file:SYSTEM/none trixie main\n"}, "no such file", nil},
		"mirrors elsewhere":  {map[string]string{"sources.list": "deb mirror+https://m.mirror.example/list trixie main\n"}, "on another host", nil},
		"other way":          {map[string]string{"sources.list": "deb ssh://m.mirror.example/ trixie main\n"}, "http://", nil},
		"not a source":       {map[string]string{"sources.list": "dab http://m.mirror.example/ trixie\n"}, "neither deb", nil},
		"options left open":  {map[string]string{"sources.list": "deb [arch=amd64 http://m.mirror.example/ trixie\n"}, "not closed", nil},
		"not a field":        {map[string]string{"sources.list.d/a.sources": "URIs https://m.mirror.example/\n"}, "not a field", nil},
		"nothing remote":     {map[string]string{"sources.list": "deb file:///srv ./\n"}, "no apt", nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t)
			for path, text := range test.files {
				write(t, filepath.Join(c.System, "apt", path), strings.ReplaceAll(text, "SYSTEM", c.System))
			}
			finds(t, c, "debian", test.failure, test.want...)
		})
	}
}

// public are the hosts that the file has for a preset.
func public(t *testing.T, name string) []string {
	t.Helper()
	hosts, err := known(name)
	if err != nil || len(hosts) == 0 {
		t.Fatal(hosts, err)
	}
	return shown(distinct(hosts))
}

func TestPyPI(t *testing.T) {
	for name, test := range map[string]struct {
		home, system string
		variables    []string
		failure      string
		public       bool
		want         []string
	}{
		"nothing":        {public: true},
		"person":         {home: "[global]\nindex_url = https://me:pw@pip.mirror.example/simple\n", want: []string{"pip.mirror.example:443 open"}},
		"person first":   {home: "[global]\nindex-url: http://a.mirror.example:3141\n", system: "[global]\nindex-url=https://b.mirror.example\n", want: []string{"a.mirror.example:3141 open"}},
		"system":         {system: "[install]\nindex-url=https://b.mirror.example\n[other]\nindex-url=https://c.mirror.example\n", want: []string{"b.mirror.example:443 open"}},
		"install first":  {home: "[install]\nindex-url=https://b.mirror.example\n[global]\nindex-url=https://c.mirror.example\n", want: []string{"b.mirror.example:443 open"}},
		"variable first": {home: "[install]\nindex-url=https://b.mirror.example\n", variables: []string{"PIP_INDEX_URL", "https://v.mirror.example/"}, want: []string{"v.mirror.example:443 open"}},
		"more of them": {
			home: "[global]\nindex-url=https://a.mirror.example\nextra-index-url =\n  https://b.mirror.example\n  # not this\n  https://c.mirror.example\nfind-links = /srv https://d.mirror.example\n",
			want: []string{"a.mirror.example:443 open", "b.mirror.example:443 open", "c.mirror.example:443 open", "d.mirror.example:443 open"},
		},
		"beside the public one": {variables: []string{"PIP_EXTRA_INDEX_URL", "https://a.mirror.example"}, public: true, want: []string{"a.mirror.example:443 open"}},
		"no index":              {variables: []string{"PIP_NO_INDEX", "1", "PIP_FIND_LINKS", "https://a.mirror.example"}, want: []string{"a.mirror.example:443 open"}},
		"no file":               {home: "[global]\nindex-url=https://a.mirror.example\n", variables: []string{"PIP_CONFIG_FILE", "/dev/null"}, public: true},
		"relative file":         {variables: []string{"PIP_CONFIG_FILE", "pip.conf"}, failure: "PIP_CONFIG_FILE"},
		"no setting":            {home: "[global]\nindex-url\n", failure: "no setting"},
		"other way":             {variables: []string{"PIP_INDEX_URL", "ftp://user:s3cret@a.mirror.example"}, failure: "http://"},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t, test.variables...)
			write(t, filepath.Join(c.Home, ".config/pip/pip.conf"), test.home)
			write(t, filepath.Join(c.System, "pip.conf"), test.system)
			want := test.want
			if test.public {
				want = append(want, public(t, "pypi")...)
			}
			finds(t, c, "pypi", test.failure, want...)
		})
	}
}

func TestCrates(t *testing.T) {
	const mirror = "[source.crates-io]\nreplace-with = 'corp'\n\n[source.corp] # ours\nregistry = \"sparse+https://cargo.mirror.example:8443/index/\"\n"
	for name, test := range map[string]struct {
		text, failure string
		public        bool
		want          []string
	}{
		"nothing":            {public: true},
		"replaced":           {text: mirror, want: []string{"cargo.mirror.example:8443 open"}},
		"among others":       {text: "[build]\nrustflags = [ # why\n  \"-C\", '[source.x]',\n]\n[http]\nproxy = \"x # y\"\n" + mirror + "[net]\nretry = 2\n", want: []string{"cargo.mirror.example:8443 open"}},
		"by a registry":      {text: "[source.crates-io]\nreplace-with = \"corp\"\n[registries.corp]\nindex = \"sparse+https://r.mirror.example/\"\ntoken = \"s3cret\"\n", want: []string{"r.mirror.example:443 open"}},
		"one more registry":  {text: "[registries.\"corp\"]\nindex = \"https://r.mirror.example/git\"\n", public: true, want: []string{"r.mirror.example:443 open"}},
		"a protocol":         {text: "[registries.crates-io]\nprotocol = \"sparse\"\n", public: true},
		"a directory":        {text: "[source.crates-io]\nreplace-with = \"v\"\n[source.v]\ndirectory = \"/srv\"\n", failure: "names no host"},
		"a circle":           {text: "[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nreplace-with = \"crates-io\"\n", failure: "circle"},
		"not there":          {text: "[source.crates-io]\nreplace-with = \"a\"\n", failure: "names no registry"},
		"by ssh":             {text: "[registries.a]\nindex = \"ssh://git@r.mirror.example/x\"\n", failure: "http://"},
		"dotted":             {text: "source.crates-io.replace-with = \"a\"\n", failure: "a form that is not read"},
		"inline":             {text: "[source]\ncrates-io = { replace-with = \"a\" }\n", failure: "a form that is not read"},
		"twice":              {text: "[source.a]\nregistry = \"https://a.mirror.example\"\n[source.a]\nregistry = \"https://b.mirror.example\"\n", failure: "a form that is not read"},
		"several lines":      {text: "[alias]\nx = \"\"\"\n[source.a]\n\"\"\"\n", failure: "a form that is not read"},
		"left open":          {text: "[alias]\nx = [\n[source.a]\n", failure: "a form that is not read"},
		"escaped":            {text: "[source.a]\nregistry = \"https://a\\u002emirror.example\"\n", failure: "a form that is not read"},
		"array of tables":    {text: "[[registries.a]]\nindex = \"https://a.mirror.example\"\n", failure: "a form that is not read"},
		"text that is open":  {text: "[alias]\nx = \"[source.a]\n", failure: "a form that is not read"},
		"more than one line": {text: "[source.a]\nregistry = [\n]\n", failure: "a form that is not read"},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t)
			write(t, filepath.Join(c.Home, ".cargo/config.toml"), test.text)
			want := test.want
			if test.public {
				want = append(public(t, "crates"), want...)
			}
			finds(t, c, "crates", test.failure, want...)
		})
	}
	finds(t, person(t, "CARGO_HOME", ".cargo"), "crates", "CARGO_HOME is not an absolute path")
}

func TestMaven(t *testing.T) {
	settings := func(body string) string {
		return `<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><servers><server><password>s3cret</password></server></servers>` + body + "</settings>"
	}
	mirror := func(of, url, more string) string {
		return "<mirrors><mirror><id>m</id><mirrorOf>" + of + "</mirrorOf><url> " + url + " </url>" + more + "</mirror></mirrors>"
	}
	profile := "<profiles><profile><repositories><repository><url>https://p.mirror.example/m2</url></repository></repositories></profile></profiles>"
	for name, test := range map[string]struct {
		text, failure string
		public        bool
		want          []string
	}{
		"nothing":        {public: true},
		"of everything":  {text: settings(mirror("*", "https://m.mirror.example/maven", "") + profile), want: []string{"m.mirror.example:443 open"}},
		"of external":    {text: settings(mirror("external:*", "http://m.mirror.example:8081/maven", "") + profile), want: []string{"m.mirror.example:8081 open", "p.mirror.example:443 open"}},
		"of the public":  {text: settings(mirror("central", "https://m.mirror.example", "")), want: []string{"m.mirror.example:443 open"}},
		"of all others":  {text: settings(mirror("*,!central", "https://m.mirror.example", "")), public: true, want: []string{"m.mirror.example:443 open"}},
		"of another":     {text: settings(mirror("other", "https://m.mirror.example", "")), public: true, want: []string{"m.mirror.example:443 open"}},
		"blocked":        {text: settings(mirror("external:http:*", "http://m.mirror.example", "<blocked>true</blocked>")), public: true},
		"of a variable":  {text: settings(mirror("*", "${env.MIRROR}", "")), failure: "http://"},
		"not a settings": {text: "<project/>", failure: "not a file of Maven's settings"},
		"not XML":        {text: "mirror", failure: "not a file of Maven's settings"},
	} {
		t.Run(name, func(t *testing.T) {
			c := person(t)
			write(t, filepath.Join(c.Home, ".m2/settings.xml"), test.text)
			want := test.want
			if test.public {
				want = append(want, public(t, "maven")...)
			}
			finds(t, c, "maven", test.failure, want...)
		})
	}
}

func TestHostOf(t *testing.T) {
	for url, want := range map[string]string{
		"https://Mirror.Example./x": "mirror.example:443 open",
		"http://mirror.example":     "mirror.example:80 open",
		"http://10.0.0.5:8081/":     "10.0.0.5:8081 open",
		"https://[2001:db8::1]:444": "2001:db8::1:444 open",
	} {
		host, err := hostOf(url)
		if got := shown([]Host{host})[0]; err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", url, got, err, want)
		}
	}
	for _, url := range []string{
		"", "mirror.example", "https:mirror.example", "git+ssh://u:s3cret@mirror.example", "https://", "https://*.mirror.example",
		"https://u:s3cret@mirror.example:0", "https://u:s3cret@mirror.example:99999", "https://u:s3cret@mirror example", "https://u:s3cret@${HOST}/",
	} {
		host, err := hostOf(url)
		if err == nil {
			t.Errorf("%q is %v", url, host)
			continue
		}
		if strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: a password is in the error: %v", url, err)
		}
	}
}

// TestFile: what is built in is what a policy takes, is of the presets that no
// client is needed for, and says where it is from.
func TestFile(t *testing.T) {
	presets, err := rows()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"npm", "go", "debian"} {
		if _, ok := presets[name]; ok {
			t.Errorf("%s has a row, and its client alone knows", name)
		}
	}
	for _, name := range []string{"pypi", "crates", "maven", "rubygems", "github-read"} {
		hosts, err := known(name)
		if err != nil || len(hosts) == 0 || presets[name].Source == "" {
			t.Errorf("%s: %v, %v", name, hosts, err)
		}
		for _, h := range hosts {
			rule := policy.Rule{Host: h.Host, Port: h.Port, Methods: []string{"GET"}, Paths: h.Paths}
			if _, err := policy.Compile(policy.Egress{Rules: []policy.Rule{rule}}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if normal, err := policy.Normalise(h.Host); err != nil || normal != h.Host {
				t.Errorf("%s: %s, %v", name, h.Host, err)
			}
		}
	}
}

func FuzzReadCargo(f *testing.F) {
	f.Add("[source.crates-io]\nreplace-with = \"a\"\n[source.a]\nregistry = \"https://a.mirror.example\"\n")
	f.Add("x = [\n'#', \"\\\"\"\n]\n[registries.'b']\nindex = ''\n")
	f.Fuzz(func(t *testing.T, text string) {
		tables, err := readCargo(text)
		if err != nil {
			return
		}
		for name := range tables {
			if !strings.HasPrefix(name, "source.") && !strings.HasPrefix(name, "registries.") {
				t.Errorf("a table %q", name)
			}
		}
		_, _, _ = cargoSource(tables) // ends, also in a circle
	})
}
