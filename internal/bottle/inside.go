package bottle

import (
	"fmt"
	"path"
	"strings"

	"claude-bottle/internal/hint"
)

// Paths inside a bottle. The workspace does not follow a changed home, as in
// the existing tool.
const (
	DefaultHome = "/home/node"
	Workspace   = "/home/node/workspace"
)

// Program is our own binary inside, read-only; the guest is started from it.
const Program = "/.claude-bottle/claude-bottle"

// EtcMount is where platforms mount the files of the root provision.Etc, each
// by itself and read-only: the file "passwd" at /etc/passwd.
const EtcMount = "/etc"

// promptFile is the agent's role, below its home, readable by it alone.
const promptFile = ".claude-bottle-prompt.txt"

// inside are the paths that the environment of the launcher may move.
type inside struct {
	home   string
	skills string // relative to home
}

func insidePaths(lookup func(string) (string, bool)) (inside, error) {
	home, err := pathSetting(lookup, "CLAUDE_BOTTLE_CONTAINER_HOME", DefaultHome)
	if err != nil {
		return inside{}, err
	}
	if home == "/" || within(home, Workspace) || within(home, EtcMount) || strings.HasPrefix(home, "/.claude-bottle") {
		return inside{}, hint.With(fmt.Errorf("CLAUDE_BOTTLE_CONTAINER_HOME: %s cannot be a home inside a bottle", printable(home)),
			"unset it, or name a directory such as /home/me")
	}
	skills, err := pathSetting(lookup, "CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR", home+"/.claude/skills")
	if err != nil {
		return inside{}, err
	}
	if skills == home || !within(skills, home) || within(skills, Workspace) {
		return inside{}, hint.With(fmt.Errorf("CLAUDE_BOTTLE_CONTAINER_SKILLS_DIR: %s is not below the home %s", printable(skills), printable(home)),
			"unset it, or name a directory below that home")
	}
	return inside{home: home, skills: strings.TrimPrefix(skills, home+"/")}, nil
}

// pathSetting reads an absolute path from the launcher's environment; empty
// counts as unset.
func pathSetting(lookup func(string) (string, bool), name, fallback string) (string, error) {
	value, _ := lookup(name)
	if value == "" {
		return fallback, nil
	}
	if !path.IsAbs(value) || strings.ContainsAny(value, "\x00\n:,") {
		return "", hint.With(fmt.Errorf("%s: %q is no absolute path", name, value), "unset it, or give an absolute path")
	}
	return path.Clean(value), nil
}

// Slug is an agent's name as engines and host names take it: lower-case
// letters, digits and single dashes, at most 40 characters.
func Slug(agent string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(agent) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	slug := b.String()
	slug = strings.Trim(slug[:min(len(slug), 40)], "-")
	if slug == "" {
		return "agent"
	}
	return slug
}
