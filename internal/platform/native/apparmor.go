//go:build linux

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

// plainPath is a path whose every character means itself in a profile.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9_@%+=:,./-]+$`)

// apparmorProfile is what lets the programs of one state directory, which are
// our own, make user namespaces where AppArmor keeps that to named programs
// (apparmor.d(5)), and nothing else: it confines nothing. What makes the first
// namespaces is ours, and bubblewrap, started from there, is under the same
// profile, where it has none of its own: it needs none. file is where it is kept.
func apparmorProfile(stateRoot string, uid int) (file, text string, err error) {
	dir := platform.ProgramsDir(resolved(stateRoot))
	programs := filepath.Join(dir, "*", "claude-bottle")
	if !plainPath.MatchString(dir) {
		return "", "", fmt.Errorf("state directory %s: a profile of AppArmor cannot name it", stateRoot)
	}
	name := "claude-bottle-" + strconv.Itoa(uid)
	text = "abi <abi/4.0>,\ninclude <tunables/global>\nprofile " + name + " " + programs + " flags=(unconfined) {\n  userns,\n}\n"
	return filepath.Join("/etc/apparmor.d", name), text, nil
}

// resolved is a path as AppArmor will see what is made there: the links on the
// way to it are followed, as far as there is a way.
func resolved(path string) string {
	for dir, rest := path, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return path
		}
	}
}

// apparmorAllows says why AppArmor keeps this person's bottles from having
// namespaces; nil when it does not.
func (p *Platform) apparmorAllows() error {
	if value, err := readSetting(apparmorRestricted); err != nil || value != "1" {
		return nil
	}
	file, text, err := apparmorProfile(p.config.Store.Root(), p.config.UID)
	if err != nil {
		return hint.With(err, "set XDG_STATE_HOME to a directory with a plain name, or use --platform docker")
	}
	if err := profileThere(file, text); err != nil {
		return err
	}
	return profileLoaded(loadedProfiles, file)
}

func profileThere(file, text string) error {
	found, err := os.ReadFile(file)
	if err == nil && string(found) == text {
		return nil
	}
	why := "there is no profile for claude-bottle"
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		why = "the profile " + file + " is another"
	}
	return hint.With(fmt.Errorf("user namespaces are restricted by AppArmor: %s is 1, and %s", apparmorRestricted, why),
		"`claude-bottle doctor` prints one and the command that loads it; or use --platform docker")
}

// loadedProfiles is where the kernel shows what it has of profiles, a directory
// each, which anybody may list; what they say is for root alone.
const loadedProfiles = "/sys/kernel/security/apparmor/policy/profiles"

// profileLoaded says why the profile of a file does not count yet; nil too where
// the kernel does not show which it has. One that was loaded for another
// directory fails the launch.
func profileLoaded(loaded, file string) error {
	entries, err := os.ReadDir(loaded)
	if err != nil || slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		// The name, and a number by which a profile differs from those it replaced.
		number, is := strings.CutPrefix(e.Name(), filepath.Base(file)+".")
		return is && number != "" && strings.Trim(number, "0123456789") == ""
	}) {
		return nil
	}
	return hint.With(fmt.Errorf("user namespaces are restricted by AppArmor: %s is 1, and the profile %s is not loaded", apparmorRestricted, file),
		"load it (`sudo apparmor_parser -r "+file+"`), or use --platform docker")
}

// errNamespaces is of a launch whose namespaces could not be made though nothing
// was seen that forbids them.
func (p *Platform) errNamespaces(err error) error {
	advice := "`claude-bottle doctor` says what this machine lets you make"
	if value, _ := readSetting(apparmorRestricted); value == "1" {
		if file, _, failed := apparmorProfile(p.config.Store.Root(), p.config.UID); failed == nil {
			advice = "AppArmor may have the profile as it was: load it anew (`sudo apparmor_parser -r " + file + "`)"
		}
	}
	return hint.With(err, advice+", or use --platform docker")
}
