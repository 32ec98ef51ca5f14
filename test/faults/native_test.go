package faults_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/test/engine"
	"claude-bottle/test/hoststate"
)

// nativePlace is a place whose bottles are native, on a machine without an engine
// as far as they can see. The state directory may be a file system of its own.
func nativePlace(t *testing.T, prepare ...func(p *place)) *place {
	t.Helper()
	engine.Tool(t, "bwrap")
	settings := ""
	if os.Getuid() == 0 { // who may surely make control groups
		settings = "limits: {memory: 1GiB}"
	}
	p := bare(t, settings)
	p.env = append(p.env, "CLAUDE_BOTTLE_PLATFORM=native")
	for _, do := range prepare {
		do(p)
	}
	p.observe(hoststate.Options{})
	return p.warm()
}

// object is what the platform wrote down of the bottle that is at work.
type object struct {
	path               string
	Run                string
	Supervisor, Inside struct{ PID int }
}

func (p *place) object() object {
	p.t.Helper()
	o := object{path: filepath.Join(p.root(), "native", p.name()+".json")}
	data, err := os.ReadFile(o.path)
	p.check(err)
	p.check(json.Unmarshal(data, &o))
	return o
}

// TestNativeIsSeen shows that what the other tests compare would show a bottle.
func TestNativeIsSeen(t *testing.T) {
	p := nativePlace(t)
	r := p.agentAtWork()
	p.observer.Mark(p.object().Run)
	now, err := p.observer.Observe(t.Context())
	p.check(err)
	if n := len(now.Of("process")) - len(p.before.Of("process")); n < 4 { // launcher, supervisor, guest, agent
		t.Errorf("%d processes of a bottle at work are seen: %q", n, now)
	}
	if os.Getuid() == 0 && len(now.Of("cgroup")) == 0 {
		t.Errorf("no control group is seen: %q", now)
	}
	p.endWork(r)
	p.back("a bottle", true)
}

// TestNativePairs ends and stops several processes of a bottle at once, in every
// pair that a busy machine, the kernel's killer or a person may come to, and the
// launcher with them or not.
func TestNativePairs(t *testing.T) {
	const launcher, supervisor, inside, all = 1, 2, 4, 7
	p := nativePlace(t)
	for _, c := range some([]struct {
		name         string
		stop, killed int
	}{
		{"launcher killed, all else stopped", all &^ launcher, launcher},
		{"launcher and supervisor killed", 0, launcher | supervisor},
		{"launcher and process 1 killed", 0, launcher | inside},
		{"all killed", 0, all},
		{"supervisor stopped, launcher killed", supervisor, launcher},
		{"launcher stopped, supervisor killed", launcher, supervisor},
		{"launcher stopped, process 1 killed", launcher, inside},
		{"launcher and supervisor stopped, process 1 killed", launcher | supervisor, inside},
		{"supervisor killed", 0, supervisor},
		{"process 1 killed", 0, inside},
	}, 3) {
		r := p.agentAtWork()
		o := p.object()
		pids := map[int]int{launcher: r.cmd.Process.Pid, supervisor: o.Supervisor.PID, inside: o.Inside.PID}
		for _, act := range []struct {
			which  int
			signal syscall.Signal
		}{{c.stop, unix.SIGSTOP}, {c.killed, unix.SIGKILL}} {
			for part, pid := range pids {
				if act.which&part != 0 {
					p.check(unix.Kill(pid, act.signal))
				}
			}
		}
		if c.stop&launcher != 0 {
			p.run("ps")
			p.run("stop", "--time", "0s", o.Run)
			p.check(unix.Kill(pids[launcher], unix.SIGCONT))
		}
		p.endWork(r)
		tally.killed.Add(1)
		p.back(c.name, true)
	}
}

// become are what may be found in the place of something that the program keeps.
var become = []struct {
	name string
	make func(path, outside string) error
}{
	{"gone", func(_, _ string) error { return nil }},
	{"empty", func(path, _ string) error { return os.WriteFile(path, nil, 0o600) }},
	{"another's", func(path, _ string) error { return os.WriteFile(path, []byte(`{"run":["x"],"version":9}`), 0o600) }},
	{"a link", func(path, outside string) error { return os.Symlink(filepath.Join(outside, "precious"), path) }},
	{"a link out", func(path, outside string) error { return os.Symlink(outside, path) }},
	{"a pipe", func(path, _ string) error { return unix.Mkfifo(path, 0o600) }},
	{"a directory", func(path, _ string) error { return os.Mkdir(path, 0o700) }},
	{"a full directory", func(path, _ string) error { return os.MkdirAll(filepath.Join(path, "more", "of", "it"), 0o700) }},
}

// TestNativeState has somebody with the person's rights remove, cut or replace
// what the program keeps of a bottle, and the launcher die. Nothing waits for
// it, follows it, or is left because of it.
func TestNativeState(t *testing.T) {
	p := nativePlace(t)
	outside := filepath.Join(filepath.Dir(p.home), "outside")
	p.check(os.Mkdir(outside, 0o755))
	p.check(os.WriteFile(filepath.Join(outside, "precious"), []byte("precious\n"), 0o644))
	var cases []func()
	for _, name := range []string{
		"object", "lock", "ledger.json", "snapshot", "summary.json", "isolation.json", "stop", "guest.sock", "control.sock",
		"work", "git", "home", "etc", "record", "record/egress.jsonl", ".",
	} {
		for _, how := range become {
			cases = append(cases, func() {
				p.disturb(name, func(path string) error { return how.make(path, outside) })
				if name == "ledger.json" { // without one only cleanup acts
					p.backBy(name+" is "+how.name, false, "cleanup", "--yes")
				} else {
					p.back(name+" is "+how.name, name != "work" && name != ".")
				}
				if text, err := os.ReadFile(filepath.Join(outside, "precious")); string(text) != "precious\n" {
					t.Errorf("%s is %s: what is outside is %q, %v", name, how.name, text, err)
				}
			})
		}
	}
	for _, do := range some(cases, 4) {
		do()
	}
}

// disturb replaces a part of what is kept of a bottle at work, once its launcher
// was killed, and has commands look at it.
func (p *place) disturb(name string, replace func(path string) error) {
	p.t.Helper()
	r := p.agentAtWork()
	o := p.object()
	path := filepath.Join(p.root(), "runs", o.Run, name)
	if name == "object" {
		path = o.path
	}
	p.check(r.cmd.Process.Kill())
	r.wait()
	if name == "summary.json" { // it comes with the end
		p.run("ps")
	}
	aside := filepath.Join(filepath.Dir(p.home), "aside")
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.t.Fatal(err)
	}
	p.check(replace(path))
	p.run("ps", "--all")
	p.run("egress", o.Run)
	p.check(os.RemoveAll(aside))
	if name == "." { // what is no run's directory is nobody's to remove
		p.run("cleanup", "--yes")
		p.check(os.RemoveAll(path))
	}
}
