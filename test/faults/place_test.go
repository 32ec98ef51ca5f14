package faults_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
	"claude-bottle/test/faultproxy"
	"claude-bottle/test/hoststate"
)

const (
	// limit ends a command that hangs.
	limit = 2 * time.Minute
	// settles is how long an engine may take to be through with what a killed
	// launcher asked it for.
	settles = 20 * time.Second
	// answers is how long one may take to be through with what a command had
	// it do and did not wait for.
	answers = 2 * time.Second
)

// place is a person's home, state directory and project, with an engine behind
// a proxy, and what the machine was like before anything was done there.
type place struct {
	t        testing.TB
	api      *client.Client
	proxy    *faultproxy.Proxy
	observer *hoststate.Observer
	before   hoststate.State
	binary   string
	home     string
	state    string
	project  string
	env      []string
	network  string // the engine's network namespace, where it has one of its own
	agent    string // and part of every name in the engine
	owner    string
	// abandoned says that the engine is gone for good.
	abandoned bool
	// but are kinds of things that are not compared.
	but []string
}

func newPlace(t testing.TB) *place {
	t.Helper()
	return newPlaceOf(t, runc)
}

// The runtimes of a bottle: where they differ, so does what a launch makes.
const (
	runc  = "runc"
	runsc = "runsc"
)

// newPlaceOf is a place whose bottles have the isolation.
func newPlaceOf(t testing.TB, isolation string) *place {
	t.Helper()
	need := engine.Need
	if isolation == runsc {
		need = engine.NeedGvisor
	}
	api, host := need(t)
	return newPlaceAt(t, api, host, isolation, hoststate.Options{Alone: all() && engine.Promised(engine.PartOwn)})
}

// isolations runs a test for each of them, in the sample for the first alone.
func isolations(t *testing.T, test func(t *testing.T, isolation string)) {
	for _, isolation := range []string{runc, runsc} {
		t.Run(isolation, func(t *testing.T) {
			if isolation != runc {
				needAll(t)
			}
			test(t, isolation)
		})
	}
}

func newPlaceAt(t testing.TB, api *client.Client, host, isolation string, options hoststate.Options) *place {
	t.Helper()
	if err := engine.Shell(t.Context(), api); err != nil {
		engine.Missing(t, engine.PartEngine, err.Error())
	}
	p := bare(t, "isolation: "+isolation)
	p.api, p.network = api, options.Network
	var err error
	p.proxy, err = faultproxy.Start(t.Context(), host, filepath.Dir(p.home))
	p.check(err)
	t.Cleanup(p.proxy.Close)
	p.env = append(p.env, "DOCKER_HOST="+p.proxy.Host(), "CLAUDE_BOTTLE_IMAGE="+engine.ShellImage)
	var plan struct{ Docker struct{ Owner string } }
	p.check(json.Unmarshal([]byte(p.run("start", p.agent, "--dry-run", "--format", "json").stdout), &plan))
	p.owner = plan.Docker.Owner
	p.observe(options)
	return p
}

// bare is a place without a platform, whose bottles are made as settings say.
func bare(t testing.TB, settings string) *place {
	t.Helper()
	binary, err := shared.binary()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &place{
		t: t, binary: binary,
		home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project"),
		agent: "faults-" + strings.ToLower(filepath.Base(dir)),
	}
	p.check(os.Chmod(dir, 0o755))
	for _, dir := range []string{p.home, p.state, p.project} {
		p.check(os.Mkdir(dir, 0o755))
	}
	manifest := "bottles: {b: {" + settings + "}}\nagents: {" + p.agent + ": {bottle: b, harness: {command: [sh, -c]}}}\n"
	p.check(os.WriteFile(filepath.Join(p.home, "claude-bottle.yaml"), []byte(manifest), 0o644))
	p.check(os.WriteFile(filepath.Join(p.project, "source"), []byte("of the person\n"), 0o644))
	p.env = []string{"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH"), "TERM=dumb"}
	return p
}

// observe remembers what the machine is like before anything was launched.
func (p *place) observe(options hoststate.Options) {
	p.t.Helper()
	options.Owner, options.Marks = p.owner, []string{p.agent, p.state + "/", p.home + "/"}
	options.Roots = []string{p.root()}
	var err error
	if p.api == nil {
		p.observer = hoststate.NewWithout(options)
	} else {
		p.observer, err = hoststate.New(p.t.Context(), p.api, options)
	}
	p.check(err)
	p.t.Cleanup(func() {
		p.observer.Close()
		p.removeImages()
	})
	p.before, err = p.observer.Before(p.t.Context())
	p.check(err)
}

func (p *place) root() string { return filepath.Join(p.state, "claude-bottle") }

// warm launches once, so that image, program and directories are there, and
// observes again.
func (p *place) warm() *place {
	p.t.Helper()
	if got := p.run("start", p.agent, "--yes", "--", "true"); got.code != 0 {
		p.t.Fatalf("a launch without a fault: %+v", got)
	}
	p.cleanup()
	var err error
	p.before, err = p.observer.Before(p.t.Context())
	p.check(err)
	return p
}

func (p *place) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// removeImages removes what the program keeps for later launches, which a
// person with one state directory would go on using.
func (p *place) removeImages() {
	if p.abandoned || p.api == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner)
	images, err := p.api.ImageList(ctx, client.ImageListOptions{Filters: filters})
	if err != nil {
		p.t.Error(err)
	}
	for _, image := range images.Items {
		if _, err := p.api.ImageRemove(ctx, image.ID, client.ImageRemoveOptions{Force: true}); err != nil {
			p.t.Error(err)
		}
	}
}

// command is one of the program's, with env on top of the place's.
func (p *place) command(env []string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.t.Context()), limit)
	p.t.Cleanup(cancel)
	argv := append([]string{p.binary}, args...)
	if p.network != "" { // it becomes the program: its process id is the program's
		argv = append([]string{"nsenter", "--net=" + p.network}, argv...)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = p.project, append(append([]string{}, p.env...), env...)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// result is what became of a command. Code is -1 when it was killed.
type result struct {
	stdout, stderr string
	code           int
}

func (p *place) run(args ...string) result {
	p.t.Helper()
	return p.runWith(nil, args...)
}

func (p *place) runWith(env []string, args ...string) result {
	p.t.Helper()
	r := p.begin(p.command(env, args...))
	return r.wait()
}

// running is a command under way.
type running struct {
	p              *place
	cmd            *exec.Cmd
	begun          time.Time
	stdin          io.WriteCloser
	stdout, stderr *output
	ended          chan struct{}
}

func (p *place) begin(cmd *exec.Cmd) *running {
	p.t.Helper()
	r := &running{p: p, cmd: cmd, begun: time.Now(), stdout: newOutput(), stderr: newOutput(), ended: make(chan struct{})}
	stdin, err := cmd.StdinPipe()
	p.check(err)
	r.stdin = stdin
	cmd.Stdout, cmd.Stderr = r.stdout, r.stderr
	p.check(cmd.Start())
	go func() {
		defer close(r.ended)
		_ = cmd.Wait() // how it ended is in its state
	}()
	p.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-r.ended
	})
	return r
}

func (r *running) wait() result {
	r.p.t.Helper()
	<-r.ended
	status, _ := r.cmd.ProcessState.Sys().(syscall.WaitStatus)
	code := status.ExitStatus()
	if status.Signaled() && time.Since(r.begun) >= limit {
		r.p.t.Errorf("%s: it hangs\n%s", strings.Join(r.cmd.Args[1:], " "), r.stderr.text())
	}
	if r.p.observer != nil {
		r.p.observer.Mark(named(r.stderr.text())...)
	}
	return result{r.stdout.text(), r.stderr.text(), code}
}

// named are the runs that a plan names by their directory. What is made for one
// alone has its name: control groups.
func named(text string) []string {
	var found []string
	for _, match := range runDir.FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

var runDir = regexp.MustCompile(`/runs/([0-9a-z]{13})\b`)

// says waits until standard output contains text; false when the command ends
// before.
func (r *running) says(text string) bool {
	for {
		more, now := r.stdout.after()
		if strings.Contains(now, text) {
			return true
		}
		select {
		case <-more:
		case <-r.ended:
			return strings.Contains(r.stdout.text(), text)
		}
	}
}

// stopped waits until the process has stopped itself; false when it ends
// before.
func (r *running) stopped() bool {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		stat, err := os.ReadFile(filepath.Join("/proc", itoa(r.cmd.Process.Pid), "stat"))
		// proc_pid_stat(5): the state is behind the name in parentheses.
		if _, state, ok := bytes.Cut(stat, []byte(") ")); err == nil && ok && state[0] == 'T' {
			return true
		}
		select {
		case <-again.C:
		case <-r.ended:
			return false
		}
	}
}

// work is every file called name in the work of a run, as text.
func (p *place) work(name string) []string {
	p.t.Helper()
	paths, err := filepath.Glob(filepath.Join(p.root(), "runs", "*", "work", name))
	p.check(err)
	var texts []string
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			p.t.Error(err)
		}
		texts = append(texts, string(data))
	}
	return texts
}
