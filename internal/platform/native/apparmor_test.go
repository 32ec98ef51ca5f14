//go:build linux

package native

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
	"claude-bottle/internal/runs"
)

// TestProfile is for the programs that bottles are started from and for no
// other, and what AppArmor's own parser takes, where it is one that knows user
// namespaces.
func TestProfile(t *testing.T) {
	root := "/home/me/.local/state/claude-bottle"
	file, text, err := apparmorProfile(root, 1000)
	check(t, err)
	if file != "/etc/apparmor.d/claude-bottle-1000" {
		t.Errorf("kept in %s", file)
	}
	found := regexp.MustCompile(`(?m)^profile \S+ (\S+) flags=`).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("no path in %s", text)
	}
	installed := filepath.Join(platform.ProgramsDir(root), strings.Repeat("a", 64), "claude-bottle")
	if ok, err := filepath.Match(found[1], installed); !ok || err != nil {
		t.Errorf("%s does not match %s: %v", found[1], installed, err)
	}
	for _, root := range []string{"/home/me/it's", "/home/me/a b", "/home/me/*", "/home/me/{a,b}", "/home/me/\n"} {
		if _, text, err := apparmorProfile(root, 1000); err == nil {
			t.Errorf("%q: %s", root, text)
		}
	}
	parser, err := exec.LookPath("apparmor_parser")
	if err != nil {
		return
	}
	if version, err := exec.CommandContext(t.Context(), parser, "--version").Output(); err != nil || !strings.Contains(string(version), "version 4") {
		return
	}
	cmd := exec.CommandContext(t.Context(), parser, "-Q", "-K")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s\n%s", err, out, text)
	}
}

// TestProfileThere is what is said before the plan.
func TestProfileThere(t *testing.T) {
	file := filepath.Join(t.TempDir(), "claude-bottle-1000")
	if err := profileThere(file, "wanted"); err == nil || !strings.Contains(err.Error(), "no profile") || !strings.Contains(hint.Of(err), "doctor") {
		t.Errorf("without a file: %v", err)
	}
	check(t, os.WriteFile(file, []byte("for another place"), 0o600))
	if err := profileThere(file, "wanted"); err == nil || !strings.Contains(err.Error(), "is another") {
		t.Errorf("another profile: %v", err)
	}
	check(t, os.WriteFile(file, []byte("wanted"), 0o600))
	check(t, profileThere(file, "wanted"))
}

// TestProfileOfALinkedDirectory names what AppArmor sees: the way without links,
// also where the state directory is still to be made.
func TestProfileOfALinkedDirectory(t *testing.T) {
	real, err := filepath.EvalSymlinks(t.TempDir())
	check(t, err)
	link := filepath.Join(t.TempDir(), "link")
	check(t, os.Symlink(real, link))
	for _, below := range []string{"", "state/claude-bottle"} {
		_, text, err := apparmorProfile(filepath.Join(link, below), 1000)
		check(t, err)
		if want := " " + platform.ProgramsDir(filepath.Join(real, below)) + "/*/claude-bottle "; !strings.Contains(text, want) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

// TestProfileLoaded tells a profile that was only written from one that counts.
func TestProfileLoaded(t *testing.T) {
	loaded, file := t.TempDir(), "/etc/apparmor.d/claude-bottle-100"
	for _, other := range []string{"bwrap.3", "claude-bottle-1000.7", "claude-bottle-100.old", "claude-bottle-100"} {
		check(t, os.Mkdir(filepath.Join(loaded, other), 0o700))
	}
	err := profileLoaded(loaded, file)
	if err == nil || !strings.HasSuffix(err.Error(), "the profile "+file+" is not loaded") || !strings.Contains(hint.Of(err), "`sudo apparmor_parser -r "+file+"`") {
		t.Errorf("only written: %v", err)
	}
	check(t, os.Mkdir(filepath.Join(loaded, "claude-bottle-100.12"), 0o700))
	check(t, profileLoaded(loaded, file))
	check(t, profileLoaded(filepath.Join(loaded, "missing"), file))
}

// TestExamine looks at this machine, and makes nothing.
func TestExamine(t *testing.T) {
	needBubblewrap(t)
	store, err := runs.Open(filepath.Join(t.TempDir(), "state"))
	check(t, err)
	seen := newPlatform(t, store, func(string) (string, bool) { return "", false }).ExamineNative(t.Context())
	if seen.Problem != "" || seen.Bubblewrap == "" || len(seen.Limits)+len(seen.Lacks) != 2 || len(seen.Agents) == 0 {
		t.Errorf("saw %+v", seen)
	}
	for _, agent := range seen.Agents {
		if agent.Program == "" && agent.Package == "" && agent.Problem == "" {
			t.Errorf("nothing of %s", agent.Name)
		}
	}
	if entries, err := os.ReadDir(store.Root()); err == nil && len(entries) > 0 {
		for _, entry := range entries {
			if entry.Name() == "agents" || entry.Name() == "bin" {
				t.Errorf("made %s", entry.Name())
			}
		}
	}
}
