package bottle

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"claude-bottle/internal/hint"
)

// unprivileged is the agent's uid and gid when the launcher is root and does
// not know for whom it works.
const unprivileged = 1000

// Host is what resolving must know of the person and the machine.
type Host struct {
	Home string // absolute
	// UID and GID are the agent's, never 0; see Person.
	UID, GID int
	// GitName and GitMail are the person's; either may be empty.
	GitName, GitMail string
	// StateRoot is the store of runs, which must not be copied into a run.
	StateRoot string
}

// Person returns the ids that the agent works under: the launcher's own, and
// for root those of the person behind sudo, else 1000. They are never 0,
// since uid 0 inside is one kernel mistake away from uid 0 outside.
func Person(uid, gid int, lookup func(string) (string, bool)) (int, int) {
	if uid != 0 {
		if gid == 0 {
			gid = uid
		}
		return uid, gid
	}
	id := func(name string) int {
		text, _ := lookup(name)
		n, err := strconv.ParseUint(text, 10, 31)
		if err != nil || n == 0 {
			return unprivileged
		}
		return int(n)
	}
	return id("SUDO_UID"), id("SUDO_GID")
}

// skillSource finds the host's directory of a skill. A person may keep skills
// elsewhere and link them, so the last element is followed; a name that leads
// to everything the person has is refused.
func skillSource(home, name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\\x00") {
		return "", fmt.Errorf("skill %q: not a name of a directory", name)
	}
	path := filepath.Join(home, ".claude", "skills", name)
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		err := fmt.Errorf("skill %s: no directory %s", name, path)
		return "", hint.With(err, "put the skill there, or take it out of the agent's skills")
	}
	if err != nil {
		return "", fmt.Errorf("skill %s: %w", name, err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return "", fmt.Errorf("skill %s: %w", name, err)
	}
	if !info.IsDir() {
		return "", hint.With(fmt.Errorf("skill %s: %s is not a directory", name, path),
			"a skill is a directory that holds a SKILL.md")
	}
	if realHome, err := filepath.EvalSymlinks(home); err == nil && within(realHome, real) {
		return "", fmt.Errorf("skill %s: %s leads to %s, which holds your whole home directory", name, path, real)
	}
	return real, nil
}

// within says whether path is dir or lies below it. Both are clean.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}
