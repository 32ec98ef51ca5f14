package cli

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// configLimit is how long a git configuration may be that is read here, in bytes.
const configLimit = 64 << 10

// plainIdentity reads the person's identity where git would (git-config(1),
// --global), which saves its start. ok is false for what is not so plain that
// git would surely read the same: then git is to be asked.
func (a *App) plainIdentity(home string) (name, mail string, ok bool) {
	if a.Getenv("GIT_CONFIG_GLOBAL") != "" {
		return "", "", false
	}
	other := a.Getenv("XDG_CONFIG_HOME")
	if other == "" {
		other = filepath.Join(home, ".config")
	}
	for _, path := range []string{filepath.Join(home, ".gitconfig"), filepath.Join(other, "git", "config")} {
		text, err := readPlain(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the second is read when the first is not there
		}
		if err != nil {
			return "", "", false
		}
		return identityIn(text)
	}
	return "", "", true
}

func readPlain(path string) (string, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() > configLimit {
		return "", errors.New("no plain file")
	}
	text, err := io.ReadAll(io.LimitReader(file, configLimit))
	return string(text), err
}

// identityIn reads a configuration of sections and lines "key = value" without
// quotes, escapes and comments behind a value; ok is false for any other.
func identityIn(text string) (name, mail string, ok bool) {
	if strings.ContainsAny(text, "\\\x00\r\ufeff") {
		return "", "", false
	}
	user := false // within the section of that name
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.Trim(line, " \t")
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			section, closed := strings.CutSuffix(line[1:], "]")
			if !closed || strings.ContainsAny(section, "[]#;") {
				return "", "", false
			}
			user = strings.EqualFold(section, "user")
		case user:
			key, value, valued := strings.Cut(line, "=")
			if !valued || strings.ContainsAny(value, "\"#;\t\v\f") {
				return "", "", false
			}
			switch value = strings.Trim(value, " "); strings.ToLower(strings.TrimRight(key, " \t")) {
			case "name":
				name = value
			case "email":
				mail = value
			}
		}
	}
	return name, mail, true
}
