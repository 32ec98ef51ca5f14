package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/standin"
)

// limit ends a command that hangs. The first launch builds the image.
const limit = 10 * time.Minute

// person is somebody with a home, a project and a shell of their own.
type person struct {
	t       *testing.T
	api     *client.Client
	server  *standin.Server
	binary  string
	home    string
	state   string
	project string
	env     []string
	uid     uint32 // whom the commands run as
	agent   string // a name that no other test uses
	owner   string // what all of the person's objects in the engine are labelled with
}

// token is what the local Messages API sees, and nothing inside a bottle. It
// is of the real one's form.
const token = "sk-ant-oat01-e2e0Zq7VbX3mKd9RtYw2LhNs5PfGc8JuEa4Qy6TiBo1MvDk3WxFz9HrSj7CnUg5LpAe2VtIq8OyKm4RbXd6NwZh1GsPf3-AAAAAA"

// newPerson has a manifest at home with one bottle and one agent, in which
// isolation is "runc" or "runsc", and more is put below the bottle.
func newPerson(t *testing.T, isolation, bottle, agent string) *person {
	t.Helper()
	need := engine.NeedBase
	if isolation == "runsc" {
		need = engine.NeedGvisor
	}
	api, host := need(t)
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	server, err := shared.server()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "p") // short: sockets may be below it
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	p := &person{
		t: t, api: api, server: server, binary: binary,
		home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project"),
		agent: "e2e-" + strings.ToLower(filepath.Base(dir)),
	}
	for _, dir := range []string{p.home, p.state, p.project} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.env = []string{
		"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color",
		"DOCKER_HOST=" + host, "CLAUDE_BOTTLE_OAUTH_TOKEN=" + token,
	}
	p.manifest(p.home, manifest(isolation, "", shell))
	p.owner = p.readOwner()
	p.manifest(p.home, manifest(isolation, bottle, agent))
	t.Cleanup(p.leavesNothing)
	return p
}

// manifest is that of a bottle whose Messages API is the local one.
func manifest(isolation, bottle, agent string) string {
	return `
bottles:
  e2e:
    isolation: ` + isolation + `
    egress:
      resolve: {api.anthropic.com: ADDRESS, platform.claude.com: ADDRESS}
      private: [ADDRESS/32]
      ca: ca.pem
` + indent(bottle, 4) + `
agents:
  AGENT:
    bottle: e2e
` + indent(agent, 4)
}

func indent(text string, by int) string {
	var b strings.Builder
	for line := range strings.Lines(strings.Trim(text, "\n")) {
		b.WriteString(strings.Repeat(" ", by) + line)
	}
	return b.String()
}

// manifest writes one to a directory.
func (p *person) manifest(dir, text string) {
	p.t.Helper()
	if err := p.server.Manifest(dir, strings.ReplaceAll(text, "AGENT", p.agent)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *person) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), limit)
	p.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, p.binary, args...)
	cmd.Dir, cmd.Env = p.project, p.env
	if p.uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: p.uid, Gid: p.uid}}
	}
	return cmd
}

// result is what a person sees of a command that ended.
type result struct {
	stdout, stderr string
	code           int
}

func (p *person) run(args ...string) result {
	p.t.Helper()
	cmd := p.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// start runs `start` of the person's agent and wants it to succeed.
func (p *person) start(args ...string) result {
	p.t.Helper()
	got := p.run(append([]string{"start", p.agent, "--yes"}, args...)...)
	if got.code != 0 {
		p.t.Fatalf("start %q: code %d\n%s%s", args, got.code, got.stdout, got.stderr)
	}
	return got
}

// work is the work directory of the person's only run.
func (p *person) work() string {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.state, "claude-bottle", "runs", "*", "work"))
	if err != nil || len(found) != 1 {
		p.t.Fatalf("work directories: %q, %v", found, err)
	}
	return found[0]
}

// readOwner asks the plan.
func (p *person) readOwner() string {
	p.t.Helper()
	plan := p.run("start", p.agent, "--dry-run", "--format", "json")
	var parsed struct{ Docker struct{ Owner string } }
	if err := json.Unmarshal([]byte(plan.stdout), &parsed); err != nil || parsed.Docker.Owner == "" {
		p.t.Fatalf("no owner in the plan: %v\n%s%s", err, plan.stdout, plan.stderr)
	}
	return parsed.Docker.Owner
}

// objects are the names of what the person's bottles have in the engine.
func (p *person) objects(ctx context.Context) []string {
	p.t.Helper()
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner)
	var names []string
	containers, err := p.api.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: filters})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range containers.Items {
		names = append(names, strings.Join(c.Names, ","))
	}
	networks, err := p.api.NetworkList(ctx, client.NetworkListOptions{Filters: filters})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, n := range networks.Items {
		names = append(names, n.Name)
	}
	return names
}

// leavesNothing is true of every test at its end.
func (p *person) leavesNothing() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer p.removeImages(ctx)
	if p.t.Failed() {
		p.run("ps") // sweeps what was ended in the middle
		return
	}
	if left := p.objects(ctx); len(left) > 0 {
		p.t.Errorf("left in the engine: %q", left)
	}
}

// removeImages removes the gateway images of this person, which a person with
// only one state directory would go on using.
func (p *person) removeImages(ctx context.Context) {
	// The image of the recipe is labelled too, and is for everybody.
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner).Add("label", "claude-bottle.binary")
	images, err := p.api.ImageList(ctx, client.ImageListOptions{Filters: filters})
	if err != nil {
		p.t.Error(err)
		return
	}
	for _, image := range images.Items {
		if _, err := p.api.ImageRemove(ctx, image.ID, client.ImageRemoveOptions{Force: true}); err != nil {
			p.t.Error(err)
		}
	}
}
