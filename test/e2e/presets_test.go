package e2e_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/origins"
)

// TestPresetsOfTheImage: plan, info, policy and why say the hosts that the image
// is configured for, whatever this machine's clients are, and look without a
// trace. Of an image that is not there the plan says that it is not known.
func TestPresetsOfTheImage(t *testing.T) {
	p := newPerson(t, "runc", "  presets: [debian, npm]", shell)
	const image = "claude-bottle-test-presets:1"
	buildImage(t, p.api, image, map[string]string{
		"Dockerfile": "FROM " + engine.BaseImage + "\nCOPY sources /etc/apt/sources.list\nENV NPM_CONFIG_REGISTRY=https://npm.image.example\n",
		"sources":    "deb https://deb.image.example:8443/debian trixie main\n",
	})
	t.Cleanup(func() {
		_, _ = p.api.ImageRemove(context.WithoutCancel(t.Context()), image, client.ImageRemoveOptions{Force: true})
	})
	p.env = append(p.env, "CLAUDE_BOTTLE_IMAGE="+image, "CLAUDE_BOTTLE_PLATFORM=docker")
	const rule = "allow deb.image.example:8443 GET (bottle e2e, preset debian)"
	rules := regexp.MustCompile(`allow \S+ GET \(bottle e2e, preset debian\)`)
	plan := p.run("start", p.agent, "--dry-run")
	if got := rules.FindAllString(plan.stderr, -1); plan.code != 0 || !slices.Equal(got, []string{rule}) ||
		!strings.Contains(plan.stderr, "preset debian: deb.image.example is what the image says, by /etc/apt/sources.list, ") {
		t.Errorf("the plan: code %d, %q\n%s", plan.code, got, plan.stderr)
	}
	if got := p.run("info", p.agent); got.code != 0 || !slices.Equal(rules.FindAllString(got.stdout, -1), []string{rule}) {
		t.Errorf("info: %+v", got)
	}
	if got := p.run("policy", p.agent); got.code != 0 || !strings.Contains(got.stdout, `"deb.image.example"`) || strings.Count(got.stdout, `"preset"`) != 2 {
		t.Errorf("policy: %+v", got)
	}
	if got := p.run("why", p.agent, "https://deb.image.example:8443/debian/dists"); got.code != 0 || !strings.Contains(got.stdout, "rule: "+rule+"\n") {
		t.Errorf("why: %+v", got)
	}
	if got := p.run("ps", "--all"); strings.Contains(got.stdout, "image") {
		t.Errorf("a run is left: %+v", got)
	}
	if left := p.objects(t.Context()); len(left) > 0 {
		t.Errorf("left in the engine: %q", left)
	}
	path := p.env
	p.env = append(slices.Clip(p.env), "PATH=/none") // of a machine without npm
	if got := p.run("doctor"); strings.Contains(got.stdout, "preset npm") {
		t.Errorf("doctor: %+v", got)
	}
	p.env = append(p.env, "CLAUDE_BOTTLE_IMAGE=claude-bottle-test-none:1")
	if got := p.run("doctor"); !strings.Contains(got.stdout, "preset npm: no npm on this machine") {
		t.Errorf("doctor, without the image: %+v", got)
	}
	p.env = append(path, "CLAUDE_BOTTLE_IMAGE=", "CLAUDE_BOTTLE_CLAUDE_VERSION=0.0.1") // never built
	if got := p.run("start", p.agent, "--dry-run"); got.code != 0 ||
		!strings.Contains(got.stderr, "preset debian: the hosts are those of the clients on this machine; what those in the image are configured for is not known: it is not there yet") ||
		strings.Contains(got.stderr, "deb.image.example") {
		t.Errorf("an image that is built first: %+v", got)
	}
}

// imageInstalls has npm and apt fetch by what the image is configured for.
const imageInstalls = `set -e
npm install --silent --no-audit --no-fund bottle-hello
node_modules/.bin/bottle-hello
mkdir -p apt/state/lists/partial apt/cache/archives/partial && touch apt/status
here="-o Dir::State=$PWD/apt/state -o Dir::State::status=$PWD/apt/status -o Dir::Cache=$PWD/apt/cache -o Debug::NoLocking=1"
apt-get -q $here update >&2
cd apt && apt-get -q $here download bottle-hello >&2
dpkg-deb -x bottle-hello_*.deb . && cat usr/share/bottle-hello
`

// TestMirrorsOfTheImage: the clients in an image reach the mirrors that its files
// name by the presets alone, while this machine's are configured for others.
func TestMirrorsOfTheImage(t *testing.T) {
	engine.Long(t)
	api, host := engine.NeedBase(t)
	const image = "claude-bottle-test-mirrors:1"
	buildImage(t, api, image, map[string]string{
		"Dockerfile": "FROM " + engine.BaseImage + "\nCOPY npmrc /usr/local/etc/npmrc\nCOPY sources /etc/apt/sources.list\n",
		"npmrc":      "registry=https://" + origins.NPM + "/\n",
		"sources":    "deb [trusted=yes] https://" + origins.APT + "/ stable main\n",
	})
	t.Cleanup(func() {
		_, _ = api.ImageRemove(context.WithoutCancel(t.Context()), image, client.ImageRemoveOptions{Force: true})
	})
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	o := origins.StartAt(t, bridgeAddress(t, api), bridgeAddress(t, api))
	dir := filepath.Join(shared.dir, "mirrors")
	p := &person{t: t, binary: binary, api: api, agent: "mirrors", home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project")}
	p.fillWithClients(t, o, fmt.Sprintf(`bottles:
  mirrors:
    isolation: runc
    egress: {ca: roots.pem, resolve: %s, private: %s, presets: [npm, debian]}
agents:
  mirrors: {bottle: mirrors, harness: {command: [bash, -c]}}
`, o.Resolve(), o.Private()), map[string]string{"x": ""})
	if err := os.WriteFile(filepath.Join(p.home, ".npmrc"), []byte("registry=https://npm.elsewhere.test/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = append(p.plainEnv(), "DOCKER_HOST="+host, "CLAUDE_BOTTLE_IMAGE="+image, "CLAUDE_BOTTLE_PLATFORM=docker")
	p.owner = p.readOwner()
	t.Cleanup(p.leavesNothing)
	got := p.start("--", imageInstalls)
	if got.stdout != "hello from npm\nhello from apt\n" || strings.Contains(got.stderr, "elsewhere") ||
		!strings.Contains(got.stderr, "preset npm: "+origins.NPM+" is what the image says, by /usr/local/etc/npmrc,") {
		t.Errorf("%s\n%s", got.stdout, got.stderr)
	}
}
