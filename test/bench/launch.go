package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// launchers are the contenders of a launch: ours, the existing tool's sequence,
// and a bare container.
func (b *bench) launchers(runtime string) ([]contender, error) {
	peer, err := newPeer(b, runtime)
	return []contender{
		func(ctx context.Context) (took, error) {
			return startOnce(b.ours(ctx, "start", "once-"+runtime, "--yes"))
		},
		peer.launch,
		func(ctx context.Context) (took, error) {
			return startOnce(b.docker(ctx, "run", "--pull", "never", "--rm", "--runtime", runtime, b.image, "echo", "ready"))
		},
	}, err
}

// measureLaunch lets ours, the existing tool's sequence, a bare container and
// the engine's own part of ours take turns, with nothing of ours in the engine,
// so that the shared egress network is made and removed each time.
func measureLaunch(ctx context.Context, b *bench, runtime string) error {
	contenders, err := b.launchers(runtime)
	if err != nil {
		return err
	}
	floor, err := newFloor(ctx, b, runtime)
	if err != nil {
		return err
	}
	times, err := b.takeTurns(ctx, append(contenders, floor.launch))
	if err != nil {
		return err
	}
	name := "docker, " + runtime + ": "
	b.addLaunch(name, times)
	ours, existing, engine := times[0], times[1], times[3]
	b.report.compare(name+"start to ready, of the engine's own part", 0, readies(ours), readies(engine))
	b.report.compare(name+"start to removed, of the engine's own part", 0, wholes(ours), wholes(engine))
	b.report.compare(name+"the engine's own part, of the existing tool's", 0, wholes(engine), wholes(existing))
	return nil
}

// measureBeside is measureLaunch beside a bottle that runs and keeps the egress
// network.
func measureBeside(ctx context.Context, b *bench, runtime string) (err error) {
	contenders, err := b.launchers(runtime)
	if err != nil {
		return err
	}
	other, err := hold(b.ours(ctx, "start", "hold-runc", "--yes"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, other.end()) }()
	if err := other.ready(); err != nil {
		return err
	}
	times, err := b.takeTurns(ctx, contenders)
	if err != nil {
		return err
	}
	b.addLaunch("docker, "+runtime+", beside another bottle: ", times)
	return nil
}

// addLaunch adds what the design limits. times are ours, the existing tool's
// and a bare container's.
func (b *bench) addLaunch(name string, times [][]took) {
	ours, existing, bare := times[0], times[1], times[2]
	b.report.compare(name+"start to removed, of the existing tool's", 0.45, wholes(ours), wholes(existing))
	b.report.compare(name+"start to ready, of a bare docker run --rm", 1.8, readies(ours), wholes(bare))
	b.report.compare(name+"start to ready, of the existing tool's", 0, readies(ours), readies(existing))
	b.report.compare(name+"start to removed, of a bare docker run --rm", 0, wholes(ours), wholes(bare))
	b.report.compare(name+"removal, of the existing tool's", 0, removals(ours), removals(existing))
	b.report.compare(name+"removal, of a bare docker run --rm's", 0, removals(ours), removals(bare))
}

// startOnce runs a launch whose harness prints a line and ends. The line is
// when a program runs inside and its output is out here.
func startOnce(cmd *exec.Cmd) (took, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return took{}, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return took{}, err
	}
	line, reading := bufio.NewReader(stdout).ReadString('\n')
	ready := time.Since(begin)
	_, _ = io.Copy(io.Discard, stdout)
	err = cmd.Wait()
	if err == nil && reading != nil {
		err = fmt.Errorf("it printed %q: %w", line, reading)
	}
	if err != nil {
		return took{}, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, stderr.String())
	}
	return took{ready, time.Since(begin)}, nil
}

// peer is the existing tool's sequence of docker commands, with tiny images
// for the agent and for the sidecar.
type peer struct {
	*bench
	runtime string
	files   string // build context, sidecar's configuration, prompt
}

func newPeer(b *bench, runtime string) (*peer, error) {
	p := &peer{b, runtime, filepath.Join(b.dir, "peer-"+runtime)}
	recipe := fmt.Sprintf("FROM %s\nLABEL %s=%s\n", b.image, label, b.id)
	return p, errors.Join(
		os.MkdirAll(filepath.Join(p.files, "context"), 0o755),
		os.WriteFile(filepath.Join(p.files, "context", "Dockerfile"), []byte(recipe), 0o600),
		os.WriteFile(filepath.Join(p.files, "pipelock.yaml"), []byte("version: 1\n"), 0o600),
		os.WriteFile(filepath.Join(p.files, "prompt.txt"), []byte("You review Go code.\n"), 0o600),
	)
}

// launch is the existing tool from its first command to its last, without the
// time of its interpreter.
func (p *peer) launch(ctx context.Context) (took, error) {
	begin := time.Now()
	err := p.commands(ctx, p.up())
	ready := time.Since(begin)
	// Also after a failure, as the existing tool does.
	err = errors.Join(err, p.commands(context.WithoutCancel(ctx), p.down()))
	return took{ready, time.Since(begin)}, err
}

func (p *peer) commands(ctx context.Context, commands [][]string) error {
	for _, args := range commands {
		if _, err := output(p.docker(ctx, args...)); err != nil {
			return err
		}
	}
	return nil
}

// up ends with a first program that ran inside.
func (p *peer) up() [][]string {
	agent, sidecar, inside, outside := p.names()
	mark := []string{"--label", label + "=" + p.id}
	with := func(command []string, args ...string) []string { return append(append(command, mark...), args...) }
	const prompt = "/home/node/.claude-bottle-prompt.txt"
	proxy := "http://" + sidecar + ":8888"
	return [][]string{
		{"info", "--format", "{{json .Runtimes}}"},
		{"build", "-q", "-t", strings.ToLower(p.id) + ":agent", filepath.Join(p.files, "context")},
		with([]string{"network", "create", "--internal"}, inside),
		with([]string{"network", "create"}, outside),
		with([]string{"create", "--pull", "never", "--name", sidecar, "--network", inside}, p.image, "sleep", "infinity"),
		{"cp", filepath.Join(p.files, "pipelock.yaml"), sidecar + ":/etc/pipelock.yaml"},
		{"network", "connect", outside, sidecar},
		{"start", sidecar},
		with([]string{"run", "--pull", "never", "--rm", "-d", "--name", agent, "--network", inside, "--runtime", p.runtime},
			"-e", "HTTPS_PROXY="+proxy, "-e", "HTTP_PROXY="+proxy, "-e", "NO_PROXY=localhost,127.0.0.1",
			strings.ToLower(p.id)+":agent", "sleep", "infinity"),
		{"cp", filepath.Join(p.files, "prompt.txt"), agent + ":" + prompt},
		{"exec", "-u", "0", agent, "chown", "1000:1000", prompt},
		{"exec", "-u", "0", agent, "chmod", "600", prompt},
		{"exec", agent, "true"},
	}
}

func (p *peer) down() [][]string {
	agent, sidecar, inside, outside := p.names()
	return [][]string{
		{"rm", "-f", agent},
		{"rm", "-f", sidecar},
		{"network", "rm", inside},
		{"network", "rm", outside},
	}
}

func (p *peer) names() (agent, sidecar, inside, outside string) {
	name := p.id + "-" + p.runtime
	return name, name + "-pipelock", name + "-internal", name + "-egress"
}
