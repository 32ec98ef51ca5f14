//go:build linux

package escape_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/test/engine"
)

// place is a platform, as one kind of person has it.
type place struct {
	name      string
	platform  string
	isolation string
	uid       uint32 // 0 for root
}

// Places. The ordinary user is made here and is nobody's.
var places = []place{
	{"docker runc", "docker", "runc", 0},
	{"docker gVisor", "docker", "runsc", 0},
	{"native as root", "native", "auto", 0},
	{"native as user", "native", "auto", 54331},
}

// everywhere runs a test at each place.
func everywhere(t *testing.T, test func(t *testing.T, p *person)) {
	t.Helper()
	at(t, test, places...)
}

// sampled runs a test at each place, or in the sample at one that is the
// engine's and at one that is the user's.
func sampled(t *testing.T, test func(t *testing.T, p *person)) {
	t.Helper()
	if all() {
		everywhere(t, test)
		return
	}
	at(t, test, places[0], places[3])
}

func at(t *testing.T, test func(t *testing.T, p *person), list ...place) {
	t.Helper()
	w := needWorld(t)
	for _, at := range list {
		t.Run(at.name, func(t *testing.T) { test(t, newPerson(t, w, at)) })
	}
}

// person is somebody with a home, a project that holds the program, and a
// shell.
type person struct {
	t       *testing.T
	place   place
	world   *world
	binary  string
	home    string
	state   string
	project string
	agent   string
	env     []string
}

// image is what docker's bottles are made of: the program, also as root's with
// root's bit.
const image = "claude-bottle-test-escape:1"

func newPerson(t *testing.T, w *world, at place) *person {
	t.Helper()
	host := "unix:///nowhere"
	if at.isolation == "runsc" {
		if _, err := engine.FindGvisor(); err != nil {
			engine.Missing(t, engine.PartGvisor, err.Error())
		}
	}
	if at.platform == "docker" {
		host = needEngine(t)
	} else {
		engine.Tool(t, "bwrap")
	}
	binary, err := shared.program("claude-bottle")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared.dir, "p")
	if err != nil {
		t.Fatal(err)
	}
	p := &person{
		t: t, place: at, world: w, binary: binary, agent: "escape-" + strings.ToLower(filepath.Base(dir)),
		home: filepath.Join(dir, "home"), state: filepath.Join(dir, "state"), project: filepath.Join(dir, "project"),
	}
	for _, dir := range []string{dir, p.home, p.state, p.project} {
		if err := errors.Join(os.MkdirAll(dir, 0o755), os.Chmod(dir, 0o755), os.Chown(dir, int(at.uid), int(at.uid))); err != nil {
			t.Fatal(err)
		}
	}
	program, err := shared.program("escape")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Link(program, filepath.Join(p.project, "escape")); err != nil {
		t.Fatal(err)
	}
	p.env = []string{
		"HOME=" + p.home, "XDG_STATE_HOME=" + p.state, "PATH=" + os.Getenv("PATH"), "TERM=xterm-256color",
		"DOCKER_HOST=" + host, "CLAUDE_BOTTLE_IMAGE=" + image, "CLAUDE_BOTTLE_PLATFORM=" + at.platform,
	}
	p.manifest("")
	t.Cleanup(func() {
		// What a test that failed has left is removed by the next command.
		if got := p.run(nil, "cleanup", "--yes"); got.code != 0 {
			t.Errorf("cleanup: code %d\n%s%s", got.code, got.stdout, got.stderr)
		}
	})
	return p
}

// manifest writes the person's, with more below the bottle.
func (p *person) manifest(more string) {
	p.t.Helper()
	text := `
bottles:
  escape:
    isolation: ` + p.place.isolation + `
    egress:
      allowlist: [allowed.example, "*.wild.example", rebinding.example, trap-loopback.example, trap-uplink.example,
        trap-metadata.example, trap-private.example]
      resolve:
        allowed.example: ` + allowedAddress.String() + `
        trap-loopback.example: 127.0.0.1
        trap-uplink.example: ` + uplinkAddress.String() + `
        trap-metadata.example: ` + metadataAddress.String() + `
        trap-private.example: ` + privateAddress.String() + `
      private: [` + allowedAddress.String() + `/32]
` + more + `
agents:
  ` + p.agent + `: {bottle: escape, harness: {command: [./escape]}}
`
	path := filepath.Join(p.home, "claude-bottle.yaml")
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chown(path, int(p.place.uid), int(p.place.uid))); err != nil {
		p.t.Fatal(err)
	}
}

// limit ends a command that hangs.
const limit = 5 * time.Minute

func (p *person) command(args ...string) *exec.Cmd {
	p.t.Helper()
	cmd := exec.CommandContext(bounded(p.t, limit), p.binary, args...)
	cmd.Dir, cmd.Env = p.project, p.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.place.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: p.place.uid, Gid: p.place.uid}
	}
	return cmd
}

// result is what a person sees of a command that ended.
type result struct {
	stdout, stderr string
	code           int
}

func (p *person) run(stdin io.Reader, args ...string) result {
	p.t.Helper()
	cmd := p.command(args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// start runs the program in a new bottle, with arguments of its own.
func (p *person) start(stdin io.Reader, args ...string) result {
	p.t.Helper()
	return p.run(stdin, append([]string{"start", p.agent, "--cwd", "--yes", "--"}, args...)...)
}

// needEngine is the world's own engine, with the image. It is there where the
// machine has one, in which these tests have no part.
func needEngine(t *testing.T) string {
	t.Helper()
	if !engine.Promised(engine.PartEngine) {
		engine.Need(t)
	}
	if _, err := exec.LookPath("dockerd"); err != nil {
		engine.Missing(t, engine.PartOwn, err.Error())
	}
	apart, err := shared.engine()
	if err != nil {
		t.Fatal(err)
	}
	if err := makeImage(); err != nil {
		t.Fatal(err)
	}
	return apart.Host()
}

var makeImage = sync.OnceValue(func() error {
	return importImage(image, "escape", map[string]int64{"bin/escape": 0o755, "bin/setuid": 0o4755})
})

// importImage makes an image of a program under some names, with modes.
func importImage(image, program string, names map[string]int64, changes ...string) error {
	apart, err := shared.engine()
	if err != nil {
		return err
	}
	api, err := apart.Client()
	if err != nil {
		return err
	}
	defer api.Close()
	path, err := shared.program(program)
	if err != nil {
		return err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	for name, mode := range names {
		header := &tar.Header{Name: name, Mode: mode, Size: int64(len(data)), Typeflag: tar.TypeReg}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(data); err != nil {
			return err
		}
	}
	if err := archive.Close(); err != nil {
		return err
	}
	ctx, cancel := contextFor(limit)
	defer cancel()
	imported, err := api.ImageImport(ctx, client.ImageImportSource{Source: &layer, SourceName: "-"}, image, client.ImageImportOptions{Changes: changes})
	if err != nil {
		return err
	}
	defer imported.Close()
	_, err = io.Copy(io.Discard, imported)
	return err
}
