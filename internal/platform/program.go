package platform

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/carried"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/wire"
)

// Program is what of our own runs in bottles and beside them, installed where
// they can mount it from. It is never changed.
type Program struct {
	Hash    string // of all of it: SHA-256, hexadecimal
	Guest   string // <state>/bin/HASH/claude-bottle, mode 0755
	Gateway string // <state>/bin/HASH/gateway, or the same file
}

// InstallProgram copies the program at source into the state directory, or,
// without one, what the running program carries for bottles (package carried)
// and else that itself: once for each of its versions, so that a bottle that
// runs keeps the file it was started with when the program is upgraded.
func InstallProgram(source, stateRoot string) (Program, error) {
	defer failpoint.Span("platform.install-program")()
	p, note, files, err := findProgram(source, stateRoot)
	if err != nil {
		return Program{}, err
	}
	if files == nil {
		return p, nil
	}
	err = installFrom(files.guest, p.Guest)
	if err == nil && files.gateway != nil {
		err = installFrom(files.gateway, p.Gateway)
	}
	if err == nil {
		err = copyInto(strings.NewReader(p.Hash), note)
	}
	if err != nil {
		return Program{}, fmt.Errorf("install our own binary: %w", err)
	}
	return p, nil
}

// FindProgram is what InstallProgram installs, whether it is there or not.
func FindProgram(source, stateRoot string) (Program, error) {
	p, _, _, err := findProgram(source, stateRoot)
	return p, err
}

// files are opened by these; gateway is nil when the guest's is the whole
// program.
type files struct{ guest, gateway func() (io.ReadCloser, error) }

// findProgram returns with the program where it is noted, and its files when it
// is not installed yet.
func findProgram(source, stateRoot string) (p Program, note string, missing *files, err error) {
	from := files{guest: func() (io.ReadCloser, error) { return os.Open(source) }}
	if source == "" {
		if source, from, err = ownProgram(); err != nil {
			return Program{}, "", nil, err
		}
	}
	if note, err = noteOf(source, stateRoot); err != nil {
		return Program{}, "", nil, fmt.Errorf("open our own binary: %w", err)
	}
	whole := from.gateway == nil
	if hash, err := os.ReadFile(note); err == nil {
		if p := programOf(string(hash), stateRoot, whole); p.there() {
			return p, note, nil, nil
		}
	}
	hash, err := from.hash()
	if err != nil {
		return Program{}, "", nil, fmt.Errorf("read our own binary: %w", err)
	}
	return programOf(hash, stateRoot, whole), note, &from, nil
}

func (p Program) there() bool {
	for _, path := range []string{p.Guest, p.Gateway} {
		if _, err := os.Stat(path); err != nil {
			return false
		}
	}
	return true
}

// ownProgram is the running program's file, by which its version is known, and
// what opens the ones that bottles get.
func ownProgram() (file string, from files, err error) {
	file = "/proc/self/exe" // what runs, even when its file was replaced
	if runtime.GOOS != "linux" {
		if file, err = os.Executable(); err != nil {
			return "", from, err
		}
	}
	own := func() (io.ReadCloser, error) { return os.Open(file) }
	switch {
	case runtime.GOOS != "linux" && !carried.Gateway().There():
		return "", from, hint.With(errors.New("this program cannot run inside a bottle: it is not built for Linux"),
			"use a release build, which carries the Linux program")
	case runtime.GOOS != "linux":
		return file, files{carried.Guest().Open, carried.Gateway().Open}, nil
	case carried.Guest().There():
		return file, files{carried.Guest().Open, own}, nil
	}
	return file, files{guest: own}, nil
}

// hash is that of all of them.
func (f files) hash() (string, error) {
	h := sha256.New()
	for _, open := range []func() (io.ReadCloser, error){f.guest, f.gateway} {
		if open == nil {
			continue
		}
		program, err := open()
		if err != nil {
			return "", err
		}
		_, err = io.Copy(h, program)
		_ = program.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func installFrom(open func() (io.ReadCloser, error), path string) error {
	program, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	return copyInto(program, path)
}

func programOf(hash, stateRoot string, whole bool) Program {
	dir := filepath.Join(ProgramsDir(stateRoot), hash)
	p := Program{Hash: hash, Guest: filepath.Join(dir, "claude-bottle"), Gateway: filepath.Join(dir, "gateway")}
	if whole {
		p.Gateway = p.Guest
	}
	return p
}

// noteOf is where the hash of a program is noted, so that not every launch has
// to read it whole: under its path, size and time of change.
func noteOf(source, stateRoot string) (string, error) {
	info, err := os.Stat(source)
	if err != nil {
		return "", err
	}
	if path, err := filepath.EvalSymlinks(source); err == nil {
		source = path
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%d", source, info.Size(), info.ModTime().UnixNano()))
	return filepath.Join(ProgramsDir(stateRoot), "note-"+hex.EncodeToString(sum[:8])), nil
}

// ProgramsDir is where programs are installed below a state directory.
func ProgramsDir(stateRoot string) string { return filepath.Join(stateRoot, "bin") }

// copyInto writes path whole or not at all; two that do it at once both
// succeed. Where the file system can, nothing has a name before it is whole: who
// is killed meanwhile leaves nothing.
func copyInto(from io.Reader, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// No process is forked while the file is open: it would have it open for
	// writing too, for a moment, and could not be executed (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if nameless, err := openNameless(dir); err == nil {
		return fillNameless(nameless, from, path)
	}
	temp, err := os.CreateTemp(dir, ".copy-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp.Name()) }()
	_, err = io.Copy(temp, from)
	err = errors.Join(err, temp.Chmod(0o755), temp.Close())
	if err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// BoundsOf are those of a bottle's guest.
func BoundsOf(spec bottle.Spec) wire.Bounds {
	return wire.Bounds{Nested: spec.Nested, Disk: spec.Limits.Disk > 0}
}
