//go:build linux

package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// Codes of processes that never were, as docker exec and shells have them.
const (
	codeNotExecutable = 126
	codeNotFound      = 127
)

// defaultPath is where programs are looked for when the environment does not
// say: the directories that Docker and Debian use.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// refusal is why a process was not started.
type refusal struct {
	code int
	err  error
}

func (r refusal) Error() string { return r.err.Error() }
func (r refusal) Unwrap() error { return r.err }

// command is a process about to be started.
type command struct {
	path string
	argv []string
	env  []string
	dir  string
}

// resolve makes a command of start, in the environment env.
func resolve(start wire.Start, env []string) (command, error) {
	if len(start.Argv) == 0 || start.Argv[0] == "" {
		return command{}, refusal{codeNotFound, errors.New("run: no program named")}
	}
	if slices.ContainsFunc(start.Argv, func(arg string) bool { return strings.ContainsRune(arg, 0) }) {
		return command{}, refusal{codeNotExecutable, errors.New("run: an argument holds a zero byte")}
	}
	env, err := environment(env, start.Terminal)
	if err != nil {
		return command{}, refusal{codeNotExecutable, err}
	}
	dir := start.Dir
	if dir == "" {
		if dir, err = os.Getwd(); err != nil {
			dir = "/"
		}
	}
	if err := checkDir(dir); err != nil {
		return command{}, refusal{codeNotExecutable, fmt.Errorf("change to directory %s: %w", dir, err)}
	}
	path, err := lookPath(start.Argv[0], dir, value(env, "PATH"))
	if err != nil {
		return command{}, refused(start.Argv[0], err)
	}
	return command{path, start.Argv, env, dir}, nil
}

// refused is a failure to find or to execute name.
func refused(name string, err error) refusal {
	code := codeNotExecutable
	if errors.Is(err, fs.ErrNotExist) {
		code = codeNotFound
	}
	return refusal{code, fmt.Errorf("run %s: %w", name, err)}
}

// environment checks entries, lets the last of a name win, and adds what
// every process expects to find.
func environment(entries []string, terminal bool) ([]string, error) {
	index := map[string]int{}
	var env []string
	for _, entry := range entries {
		name, _, ok := strings.Cut(entry, "=")
		if !ok || name == "" || strings.ContainsRune(entry, 0) {
			// Not quoted: it may be secret.
			return nil, errors.New("set the environment: an entry is no NAME=value, or holds a zero byte")
		}
		if i, ok := index[name]; ok {
			env[i] = entry
			continue
		}
		index[name] = len(env)
		env = append(env, entry)
	}
	for _, missing := range []struct {
		name, value string
		wanted      bool
	}{
		{"PATH", defaultPath, true},
		{"HOME", "/", true},
		{"TERM", "xterm", terminal}, // as docker exec -t
	} {
		if _, ok := index[missing.name]; !ok && missing.wanted {
			env = append(env, missing.name+"="+missing.value)
		}
	}
	return env, nil
}

// value is that of a variable in env, empty when there is none.
func value(env []string, name string) string {
	for _, entry := range env {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			return v
		}
	}
	return ""
}

func checkDir(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return cause(err)
	}
	if !info.IsDir() {
		return syscall.ENOTDIR
	}
	return unix.Access(dir, unix.X_OK)
}

// lookPath finds the program name as execvp(3) does, in the process's own
// PATH and not the guest's; relative paths are below dir. What is there but
// cannot be executed is worth saying when nothing else is found.
func lookPath(name, dir, path string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(below(dir, name))
	}
	var denied error
	for _, entry := range filepath.SplitList(path) {
		candidate := filepath.Join(below(dir, entry), name)
		err := executable(candidate)
		if err == nil {
			return candidate, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", notFound{}
}

// notFound is a program that no directory of PATH holds.
type notFound struct{}

func (notFound) Error() string        { return "not found in PATH" }
func (notFound) Is(target error) bool { return target == fs.ErrNotExist }

func below(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, syscall.ENOTDIR):
		return fs.ErrNotExist
	case err != nil:
		return cause(err)
	case info.IsDir():
		return syscall.EISDIR
	}
	return unix.Access(path, unix.X_OK)
}

// cause is err without the path, which the caller names.
func cause(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}
