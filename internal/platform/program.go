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

// Program is what of our own runs in bottles, installed where they can mount it
// from: guest and gateway.
type Program struct {
	Hash string // SHA-256, hexadecimal
	Path string // <state>/bin/HASH/claude-bottle, mode 0755, never changed
}

// InstallProgram copies the program at source into the state directory, or,
// without one, what the running program carries for bottles (package carried)
// and else that itself: once for each of its versions, so that a bottle that
// runs keeps the file it was started with when the program is upgraded.
func InstallProgram(source, stateRoot string) (Program, error) {
	defer failpoint.Span("platform.install-program")()
	b, note, open, err := findProgram(source, stateRoot)
	if err != nil {
		return Program{}, err
	}
	if open == nil {
		return b, nil
	}
	err = installFrom(open, b.Path)
	if err == nil {
		err = copyInto(strings.NewReader(b.Hash), note)
	}
	if err != nil {
		return Program{}, fmt.Errorf("install our own binary: %w", err)
	}
	return b, nil
}

// FindProgram is what InstallProgram installs, whether it is there or not.
func FindProgram(source, stateRoot string) (Program, error) {
	b, _, _, err := findProgram(source, stateRoot)
	return b, err
}

// findProgram returns with the program where it is noted, and what opens it when
// it is not installed yet.
func findProgram(source, stateRoot string) (b Program, note string, open func() (io.ReadCloser, error), err error) {
	open = func() (io.ReadCloser, error) { return os.Open(source) }
	if source == "" {
		if source, open, err = ownProgram(); err != nil {
			return Program{}, "", nil, err
		}
	}
	if note, err = noteOf(source, stateRoot); err != nil {
		return Program{}, "", nil, fmt.Errorf("open our own binary: %w", err)
	}
	if hash, err := os.ReadFile(note); err == nil {
		b := programOf(string(hash), stateRoot)
		if _, err := os.Stat(b.Path); err == nil {
			return b, note, nil, nil
		}
	}
	hash, err := hashOf(open)
	if err != nil {
		return Program{}, "", nil, fmt.Errorf("read our own binary: %w", err)
	}
	return programOf(hash, stateRoot), note, open, nil
}

// ownProgram is the running program's file, by which its version is known, and
// what opens the one that bottles get.
func ownProgram() (file string, open func() (io.ReadCloser, error), err error) {
	file = "/proc/self/exe" // what runs, even when its file was replaced
	if runtime.GOOS != "linux" {
		if file, err = os.Executable(); err != nil {
			return "", nil, err
		}
	}
	if carried.There() {
		return file, carried.Open, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, hint.With(errors.New("this program cannot run inside a bottle: it is not built for Linux"),
			"use a release build, which carries the Linux program")
	}
	return file, func() (io.ReadCloser, error) { return os.Open(file) }, nil
}

func hashOf(open func() (io.ReadCloser, error)) (string, error) {
	program, err := open()
	if err != nil {
		return "", err
	}
	defer func() { _ = program.Close() }()
	h := sha256.New()
	_, err = io.Copy(h, program)
	return hex.EncodeToString(h.Sum(nil)), err
}

func installFrom(open func() (io.ReadCloser, error), path string) error {
	program, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = program.Close() }()
	return copyInto(program, path)
}

func programOf(hash, stateRoot string) Program {
	return Program{Hash: hash, Path: filepath.Join(ProgramsDir(stateRoot), hash, "claude-bottle")}
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
// succeed.
func copyInto(from io.Reader, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	// No process is forked while the file is open: it would have it open for
	// writing too, for a moment, and could not be executed (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
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
