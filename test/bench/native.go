package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// person is who launches native bottles: root, or an ordinary user. Each has a
// home, a state directory and a copy of the program that it may execute.
type person struct {
	*bench
	name   string // "as root"
	home   string
	binary string
	// credential is the user's, where root measures; nil for who measures.
	credential *syscall.Credential
}

// ordinary is the uid and gid of the user that root measures as.
const ordinary = 1000

// persons are who runs this, and where that is root an ordinary user too.
func (b *bench) persons() ([]*person, error) {
	all := []*person{{bench: b, name: "as a user"}}
	if os.Getuid() == 0 {
		all[0].credential = &syscall.Credential{Uid: ordinary, Gid: ordinary}
		all = append(all, &person{bench: b, name: "as root"})
	}
	for _, p := range all {
		p.home = filepath.Join(b.dir, "native-"+strings.ReplaceAll(p.name, " ", "-"))
		p.binary = filepath.Join(p.home, "claude-bottle")
		if err := p.settle(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// settle makes the person's home, once.
func (p *person) settle() error {
	manifest := `bottles:
  plain: {}
agents:
  "true": {bottle: plain, harness: {command: ["true"]}}
  echo: {bottle: plain, harness: {command: [echo, ready]}}
  hold: {bottle: plain, harness: {command: [sh, -c, 'echo ready; exec cat']}}
  also: {bottle: plain, harness: {command: [sh, -c, 'echo ready; exec cat']}}
`
	err := errors.Join(os.MkdirAll(p.home, 0o755),
		os.WriteFile(filepath.Join(p.home, "claude-bottle.yaml"), []byte(manifest), 0o644), //nolint:gosec // G306: another user reads it
		copyProgram(p.bench.binary, p.binary))
	if err == nil && p.credential != nil {
		err = os.Chown(p.home, ordinary, ordinary)
	}
	return err
}

func copyProgram(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// as makes a command one of the person's, without a terminal of ours.
func (p *person) as(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir = p.home
	cmd.Env = append(os.Environ(), "HOME="+p.home, "XDG_STATE_HOME="+filepath.Join(p.home, "state"), "CLAUDE_BOTTLE_PLATFORM=native")
	gently(cmd).SysProcAttr.Credential = p.credential
	return cmd
}

// ours is a command of the program that is measured.
func (p *person) ours(ctx context.Context, args ...string) *exec.Cmd {
	return p.as(exec.CommandContext(ctx, p.binary, args...))
}

// bare is bubblewrap by itself, with the arguments of a bottle that runs and
// `true` in the place of the guest. Of the namespaces a bottle has, the network
// alone is not bubblewrap's work; here it makes that too.
func (p *person) bare(ctx context.Context, launcher int) (contender, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	below := descendants(all, launcher)
	i := slices.IndexFunc(all, func(o process) bool { return below[o.pid] && o.args[0] == "bwrap" })
	if i < 0 {
		return nil, errors.New("no bubblewrap runs below a launcher")
	}
	args := all[i].args[1:]
	end := slices.Index(args, "--")
	if end < 0 {
		return nil, fmt.Errorf("bubblewrap runs without a command: %q", args)
	}
	args = append(append([]string{"--unshare-net"}, args[:end]...), "--", "true")
	return func(ctx context.Context) (took, error) {
		files, err := p.contents(args)
		defer func() {
			for _, file := range files {
				_ = file.Close()
			}
		}()
		if err != nil {
			return took{}, err
		}
		cmd := p.as(exec.CommandContext(ctx, "bwrap", args...))
		cmd.ExtraFiles = files
		if cmd.SysProcAttr.Credential == nil && os.Getuid() == 0 { // a bottle's is not root's either
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: ordinary, Gid: ordinary}
		}
		return whole(cmd)
	}, ctx.Err()
}

// contents opens what bubblewrap is to read from descriptors, and writes their
// numbers into args: the host's file of the same name, or another small one.
func (p *person) contents(args []string) (files []*os.File, err error) {
	const first = 3 // of exec.Cmd.ExtraFiles
	for i, arg := range args {
		if arg != "--file" {
			continue
		}
		file, err := os.Open(args[i+2])
		if err != nil {
			file, err = os.Open(filepath.Join(p.home, "claude-bottle.yaml"))
		}
		if err != nil {
			return files, err
		}
		args[i+1] = strconv.Itoa(first + len(files))
		files = append(files, file)
	}
	return files, nil
}

// whole is a command of which only the end is of interest.
func whole(cmd *exec.Cmd) (took, error) {
	all, err := timed(cmd)
	return took{all, all}, err
}

// measureNative lets whole runs of ours, bare bubblewrap and, where an engine
// answers, a bare container take turns; then an exec into a bottle that runs.
func measureNative(ctx context.Context, b *bench, _ string) error {
	return b.eachPerson(func(p *person) (err error) {
		held, err := hold(p.ours(ctx, "start", "hold", "--yes"))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, held.end()) }()
		if err := held.ready(); err != nil {
			return fmt.Errorf("%w\n%s", err, held.stderr.String())
		}
		bare, err := p.bare(ctx, held.cmd.Process.Pid)
		if err != nil {
			return err
		}
		contenders := []contender{
			func(ctx context.Context) (took, error) { return whole(p.ours(ctx, "start", "true", "--yes")) },
			bare,
			func(ctx context.Context) (took, error) { return startOnce(p.ours(ctx, "start", "echo", "--yes")) },
			func(ctx context.Context) (took, error) {
				return whole(p.ours(ctx, "exec", "claude-bottle-hold", "--", "true"))
			},
		}
		if b.hasEngine(ctx) {
			contenders = append(contenders, func(ctx context.Context) (took, error) {
				return whole(b.docker(ctx, "run", "--pull", "never", "--rm", b.image, "true"))
			})
		}
		times, err := b.takeTurns(ctx, contenders)
		if err != nil {
			return err
		}
		p.addLaunch(times)
		return nil
	})
}

func (p *person) addLaunch(times [][]took) {
	r, name := &p.report, "native, "+p.name+": "
	ours := wholes(times[0])
	r.add(name+"whole process, true inside", "ms", 25, milliseconds(ours), "")
	r.compare(name+"whole process, of bare bubblewrap with the same arguments", 4, ours, wholes(times[1]))
	r.add(name+"start to ready", "ms", 0, milliseconds(readies(times[2])), "the first output of a program inside")
	r.add(name+"removal", "ms", 0, milliseconds(removals(times[2])), "from there to the end of the command")
	r.add(name+"exec RUN -- true", "ms", 10, milliseconds(wholes(times[3])), "into a bottle that runs")
	if len(times) > 4 {
		r.compare(name+"whole process, of a bare docker run --rm", 0, ours, wholes(times[4]))
	}
}

// hasEngine says whether there is an engine to compare with.
func (b *bench) hasEngine(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if _, err := output(b.docker(ctx, "version")); err != nil {
		fmt.Fprintln(os.Stderr, "bench: no engine answers, its rows are left out")
		return false
	}
	if err := b.needEngine(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench: the engine's rows are left out:", err)
		return false
	}
	return true
}

func (b *bench) eachPerson(measure func(p *person) error) error {
	if _, err := exec.LookPath("bwrap"); err != nil {
		return errors.New("bubblewrap is missing: apt-get install bubblewrap")
	}
	persons, err := b.persons()
	if err != nil {
		return err
	}
	for _, p := range persons {
		if err := measure(p); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// descendants are all processes below one.
func descendants(all []process, of int) map[int]bool {
	found := map[int]bool{}
	for again := true; again; {
		again = false
		for _, p := range all {
			if !found[p.pid] && (p.parent == of || found[p.parent]) {
				found[p.pid], again = true, true
			}
		}
	}
	return found
}
