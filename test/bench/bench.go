package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// bench is what all measurements share. Whatever it makes in the engine
// carries its label, or that of its state directory's owner.
type bench struct {
	options
	dir    string // home, state and manifest of ours
	id     string // suffix of the peers' names
	image  string // tiny, the same for all contenders; empty until needEngine
	owner  string // of our own objects; empty until one was planned
	report report
}

// label is on everything of the peers', with bench.id as its value.
const label = "claude-bottle.bench"

func newBench(ctx context.Context, o options) (*bench, error) {
	binary, err := filepath.Abs(o.binary)
	if err != nil {
		return nil, err
	}
	o.binary = binary
	dir, err := os.MkdirTemp("", "claude-bottle-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, id: filepath.Base(dir)}
	b.report.Machine, b.report.Load[0] = machine(ctx), load()
	// The agent's user goes through it to its home.
	if err := os.Chmod(dir, 0o755); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// machine says what the figures are of.
func machine(ctx context.Context) string {
	text := fmt.Sprintf("%s/%s, %d processors", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	var kernel syscall.Utsname
	if err := syscall.Uname(&kernel); err == nil {
		var release []byte
		for _, c := range kernel.Release {
			if c == 0 {
				break
			}
			release = append(release, byte(c))
		}
		text += ", Linux " + string(release)
	}
	format := "Docker {{.ServerVersion}}, {{.Driver}}, cgroup v{{.CgroupVersion}}"
	if out, err := exec.CommandContext(ctx, "docker", "info", "--format", format).Output(); err == nil {
		text += ", " + strings.TrimSpace(string(out))
	}
	return text
}

// load is the machine's load average of the last minute (proc(5)).
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}

// needEngine makes what measurements with an engine start from: the tiny
// image, a manifest, and the gateway's image, which the first launch makes.
func (b *bench) needEngine(ctx context.Context) error {
	if b.image != "" {
		return nil
	}
	if err := b.importTiny(ctx); err != nil {
		return err
	}
	manifest := `bottles:
  runc: {isolation: runc}
  runsc: {isolation: runsc}
agents:
  once-runc: {bottle: runc, harness: {command: [echo, ready]}}
  once-runsc: {bottle: runsc, harness: {command: [echo, ready]}}
  hold-runc: {bottle: runc, harness: {command: [sh, -c, 'echo ready; exec cat']}}
  hold-runsc: {bottle: runsc, harness: {command: [sh, -c, 'echo ready; exec cat']}}
`
	if err := os.WriteFile(filepath.Join(b.dir, "claude-bottle.yaml"), []byte(manifest), 0o600); err != nil {
		return err
	}
	plan, err := output(b.ours(ctx, "start", "once-runc", "--dry-run", "--format", "json"))
	if err != nil {
		return err
	}
	var planned struct{ Docker struct{ Owner string } }
	if err := json.Unmarshal(plan, &planned); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	b.owner = planned.Docker.Owner
	_, err = output(b.ours(ctx, "start", "once-runc", "--yes"))
	return err
}

// importTiny makes an image of a static busybox and nothing else.
func (b *bench) importTiny(ctx context.Context) error {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return errors.New("busybox is missing: apt-get install busybox-static")
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return err
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, dir := range []string{"bin/", "etc/", "tmp/", "home/", "home/node/"} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}))
	}
	err = errors.Join(err, w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(data))}))
	_, writing := w.Write(data)
	err = errors.Join(err, writing)
	for _, name := range []string{"cat", "chmod", "chown", "echo", "sh", "sleep", "true"} {
		err = errors.Join(err, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	image := strings.ToLower(b.id) + ":tiny"
	cmd := b.docker(ctx, "import", "--change", "ENV PATH=/bin", "--change", "LABEL "+label+"="+b.id, "-", image)
	cmd.Stdin = &layer
	if _, err := output(cmd); err != nil {
		return err
	}
	b.image = image
	if _, err := output(b.docker(ctx, "run", "--pull", "never", "--rm", b.image, "true")); err != nil {
		return fmt.Errorf("%w (is %s static? apt-get install busybox-static)", err, busybox)
	}
	return nil
}

// hasGvisor says whether the engine knows the runtime runsc.
func (b *bench) hasGvisor(ctx context.Context) bool {
	out, err := output(b.docker(ctx, "info", "--format", "{{json .Runtimes}}"))
	return err == nil && strings.Contains(string(out), `"runsc"`)
}

// docker is a command of the docker program. The classic builder is the one
// that is everywhere.
func (b *bench) docker(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
	return gently(cmd)
}

// ours is a command of the program that is measured, with a home and a state
// directory of its own.
func (b *bench) ours(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_STATE_HOME="+filepath.Join(b.dir, "state"),
		"CLAUDE_BOTTLE_IMAGE="+b.image)
	return gently(cmd)
}

// gently ends a command at the end of its context so that it can clean up, and
// keeps a Ctrl-C at the terminal from reaching it twice.
func gently(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 40 * time.Second
	return cmd
}

// close removes whatever is left, also after an interrupt.
func (b *bench) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	var errs []error
	if b.image != "" {
		filters := []string{label + "=" + b.id}
		if b.owner != "" {
			filters = append(filters, "claude-bottle.owner="+b.owner)
		}
		for _, filter := range filters {
			errs = append(errs, b.removeLabelled(ctx, filter))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// removeLabelled removes containers, networks and images with a label.
func (b *bench) removeLabelled(ctx context.Context, filter string) error {
	for _, kind := range []struct{ list, remove []string }{
		{[]string{"ps", "-aq"}, []string{"rm", "-f"}},
		{[]string{"network", "ls", "-q"}, []string{"network", "rm"}},
		{[]string{"images", "-q"}, []string{"rmi", "-f"}},
	} {
		found, err := output(b.docker(ctx, append(kind.list, "--filter", "label="+filter)...))
		if err != nil {
			return err
		}
		if ids := strings.Fields(string(found)); len(ids) > 0 {
			if _, err := output(b.docker(ctx, append(kind.remove, ids...)...)); err != nil {
				return err
			}
		}
	}
	return nil
}

// output runs a command; its standard error is in the error alone.
func output(cmd *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return stdout.Bytes(), nil
}

// timed is how long a command takes to its end.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	begin := time.Now()
	_, err := output(cmd)
	return time.Since(begin), err
}

// tool is a command that has nothing to do with the engine.
func (b *bench) tool(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	return gently(cmd)
}
