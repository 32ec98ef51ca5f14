//go:build linux

package escape_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"claude-bottle/test/escape/attacks"
)

// victim is a directory of the host's that a bottle knows the path of. What is
// in it must be neither changed nor read, and nothing of a tree may run.
type victim struct {
	dir    string
	before []string
}

func newVictim(t *testing.T, p *person) *victim {
	t.Helper()
	v := &victim{dir: filepath.Join(p.home, "victim")}
	for path, data := range map[string]string{"treasure": p.world.nonce + "\n", ".git/config": "[core]\n", "below/file": p.world.nonce + "\n"} {
		path = filepath.Join(v.dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(data), 0o644); err != nil { //nolint:gosec // G306: for everybody, so that only the walls are in the way
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "chown", "-R", fmt.Sprint(p.place.uid), v.dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	// What is run on the host makes this.
	if err := os.Chmod(v.dir, 0o777); err != nil { //nolint:gosec // G302: see above
		t.Fatal(err)
	}
	v.before = v.look(t)
	return v
}

// look lists what can be changed.
func (v *victim) look(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir(v.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all = append(all, fmt.Sprintf("%s %v %d %v", path, info.Mode(), info.Size(), info.ModTime()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// untouched fails the test when anything is different, or ran.
func (v *victim) untouched(t *testing.T, after string) {
	t.Helper()
	if now := v.look(t); !slices.Equal(now, v.before) {
		t.Errorf("after %s the victim is\n%s\nand was\n%s", after, strings.Join(now, "\n"), strings.Join(v.before, "\n"))
	}
	if _, err := os.Lstat(filepath.Join(v.dir, attacks.Ran)); err == nil {
		t.Errorf("after %s: something of the tree ran on the host", after)
	}
}

// stole says whether a regular file below dir holds what the victim has. No
// link is followed.
func stole(t *testing.T, dir, nonce string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return nil //nolint:nilerr // what is too deep for a path cannot be looked at
		}
		info, err := entry.Info()
		if err != nil || info.Size() > 1<<20 {
			return nil //nolint:nilerr // the victim's is small
		}
		data, err := os.ReadFile(path)
		if err == nil && bytes.Contains(data, []byte(nonce)) {
			t.Errorf("%s holds what is the victim's", path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// clean fails the test when what a command said holds bytes that a terminal
// would act on.
func (r result) clean(t *testing.T, command string) {
	t.Helper()
	for stream, text := range map[string]string{"output": r.stdout, "error": r.stderr} {
		for _, c := range text {
			if c != '\n' && c != '\t' && (unicode.IsControl(c) || unicode.Is(unicode.Bidi_Control, c)) {
				t.Errorf("%s: standard %s holds %U: %q", command, stream, c, text)
				return
			}
		}
	}
}

// commands are those that touch runs, each of which must end well, say nothing
// that a terminal would act on, and leave the victim alone.
func (p *person) commands(t *testing.T, v *victim, list ...[]string) {
	t.Helper()
	for _, args := range list {
		began := time.Now()
		got := p.run(nil, args...)
		name := strings.Join(args, " ")
		if got.code != 0 {
			t.Errorf("%s: code %d\n%q%q", name, got.code, got.stdout, got.stderr)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s took %s", name, took)
		} else {
			t.Logf("%s: %s", name, took)
		}
		got.clean(t, name)
		v.untouched(t, name)
	}
}

// TestHostileTrees leaves everything in a workspace and a home that could make
// a command of the host's read, write, wait or run what it must not, and then
// runs all of those commands, on the run and on a run of its work.
func TestHostileTrees(t *testing.T) {
	sampled(t, func(t *testing.T, p *person) {
		p.manifest("    limits: {disk: 1GiB}")
		v := newVictim(t, p)
		began := time.Now()
		got := p.start(nil, "plant", v.dir)
		t.Logf("plant: %s", time.Since(began))
		if got.code != 0 {
			t.Fatalf("plant: code %d\n%q", got.code, got.stderr)
		}
		got.clean(t, "start")
		v.untouched(t, "start")
		if !strings.Contains(got.stderr, " added") && !strings.Contains(got.stderr, "not all of it compared") {
			t.Errorf("it is not said what changed:\n%s", got.stderr)
		}
		p.commands(t, v, []string{"ps"}, []string{"ps", "--all"}, []string{"ps", "--all", "--format", "json"}, []string{"list", "active"}, []string{"info", p.agent})
		// Its work is the next agent's project.
		work := p.workOf(t)
		stole(t, filepath.Dir(work), p.world.nonce)
		p.project = work
		began = time.Now()
		got = p.start(nil, "version")
		t.Logf("start in the work: %s: %s", time.Since(began), lastLine(got.stderr))
		got.clean(t, "start in the work")
		v.untouched(t, "start in the work")
		if got.code != 0 {
			t.Errorf("start in the work: code %d\n%q", got.code, got.stderr)
		}
		for _, dir := range p.works(t) {
			stole(t, filepath.Dir(dir), p.world.nonce)
		}
		p.project = p.home
		p.commands(t, v, []string{"ps", "--all"}, []string{"cleanup", "--yes"})
		if left := p.works(t); len(left) > 0 {
			t.Errorf("cleanup leaves %q", left)
		}
	})
}

// TestRacingTree has a bottle change what names mean while the host's commands
// walk them.
func TestRacingTree(t *testing.T) {
	sampled(t, func(t *testing.T, p *person) {
		p.manifest("    limits: {disk: 1GiB}") // so that its disk is measured
		v := newVictim(t, p)
		racer := p.racing(t, v)
		work := p.workOf(t)
		home := p.project
		for range rounds() {
			p.commands(t, v, []string{"ps"}, []string{"egress", p.agentsRun(t)})
			p.project = work
			got := p.start(nil, "version")
			p.project = home
			got.clean(t, "start in the work")
			v.untouched(t, "start in the work")
			// Files that change while they are copied may end it, but not late.
			t.Logf("start in the work: code %d, %s", got.code, lastLine(got.stderr))
		}
		racer(t)
		v.untouched(t, "the end of the race")
		for _, dir := range p.works(t) {
			stole(t, filepath.Dir(dir), p.world.nonce)
		}
		p.commands(t, v, []string{"ps", "--all"}, []string{"cleanup", "--yes"})
		if left := p.works(t); len(left) > 0 {
			t.Errorf("cleanup leaves %q", left)
		}
	})
}

// rounds is how often a race is run.
func rounds() int {
	if all() {
		return 12
	}
	return 2
}

// racing starts a bottle that races until the function that is returned is
// called.
func (p *person) racing(t *testing.T, v *victim) func(t *testing.T) {
	t.Helper()
	b, first := p.startBeside(t, "the racer", "race", v.dir)
	if first != "racing\n" {
		t.Errorf("the racer says %q", first)
	}
	return func(t *testing.T) {
		t.Helper()
		b.end(t)
		result{stderr: b.stderr.String()}.clean(t, "start")
	}
}

// works are the work directories of the person's runs.
func (p *person) works(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(p.runs(), "*", "work"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// runs is where they are.
func (p *person) runs() string { return filepath.Join(p.state, "claude-bottle", "runs") }

func (p *person) workOf(t *testing.T) string {
	t.Helper()
	found := p.works(t)
	if len(found) != 1 {
		t.Fatalf("work directories: %q", found)
	}
	return found[0]
}

// agentsRun is the id of the first run.
func (p *person) agentsRun(t *testing.T) string {
	t.Helper()
	return filepath.Base(filepath.Dir(p.works(t)[0]))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}
