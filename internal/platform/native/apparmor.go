//go:build linux

package native

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

// plainPath is a path whose every character means itself in a profile.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9_@%+=:,./-]+$`)

// apparmorProfile is what lets the programs of one state directory, which are
// our own, make user namespaces where AppArmor keeps that to named programs
// (apparmor.d(5)), and nothing else: it confines nothing. What makes the first
// namespaces is ours, and bubblewrap, started from there, is under the same
// profile: it needs none of its own. file is where it is kept.
func apparmorProfile(stateRoot string, uid int) (file, text string, err error) {
	programs := filepath.Join(platform.ProgramsDir(stateRoot), "*", "claude-bottle")
	if !plainPath.MatchString(platform.ProgramsDir(stateRoot)) {
		return "", "", fmt.Errorf("state directory %s: a profile of AppArmor cannot name it", stateRoot)
	}
	name := "claude-bottle-" + strconv.Itoa(uid)
	text = "abi <abi/4.0>,\ninclude <tunables/global>\nprofile " + name + " " + programs + " flags=(unconfined) {\n  userns,\n}\n"
	return filepath.Join("/etc/apparmor.d", name), text, nil
}

// apparmorAllows says why AppArmor keeps this person's bottles from having
// namespaces; nil when it does not. Whether a profile that is there was loaded
// only root can see: what was not fails the launch.
func (p *Platform) apparmorAllows() error {
	if value, err := readSetting(apparmorRestricted); err != nil || value != "1" {
		return nil
	}
	file, text, err := apparmorProfile(p.config.Store.Root(), p.config.UID)
	if err != nil {
		return hint.With(err, "set XDG_STATE_HOME to a directory with a plain name, or use --platform docker")
	}
	return profileThere(file, text)
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
