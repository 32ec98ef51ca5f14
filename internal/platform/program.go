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
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/wire"
)

// Program is our own binary, installed where bottles can mount it from.
// It is command, guest and gateway in one.
type Program struct {
	Hash string // SHA-256, hexadecimal
	Path string // <state>/bin/HASH/claude-bottle, mode 0755, never changed
}

// InstallProgram copies the program that is running (or the one at source)
// into the state directory, once for each of its versions: a bottle that runs
// keeps the file it was started with when the program is upgraded.
func InstallProgram(source, stateRoot string) (Program, error) {
	defer failpoint.Span("platform.install-program")()
	if source == "" {
		if runtime.GOOS != "linux" {
			return Program{}, hint.With(errors.New("this program cannot run inside a bottle: it is not built for Linux"),
				"use a release build, which carries the Linux program")
		}
		source = "/proc/self/exe" // what runs, even when its file was replaced
	}
	file, err := os.Open(source)
	if err != nil {
		return Program{}, fmt.Errorf("open our own binary: %w", err)
	}
	defer func() { _ = file.Close() }()
	note, err := noteOf(file, source, stateRoot)
	if err != nil {
		return Program{}, fmt.Errorf("open our own binary: %w", err)
	}
	if hash, err := os.ReadFile(note); err == nil {
		b := programOf(string(hash), stateRoot)
		if _, err := os.Stat(b.Path); err == nil {
			return b, nil
		}
	}
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return Program{}, fmt.Errorf("read our own binary: %w", err)
	}
	b := programOf(hex.EncodeToString(h.Sum(nil)), stateRoot)
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return Program{}, err
	}
	err = copyInto(file, b.Path)
	if err == nil {
		err = copyInto(strings.NewReader(b.Hash), note)
	}
	if err != nil {
		return Program{}, fmt.Errorf("install our own binary: %w", err)
	}
	return b, nil
}

func programOf(hash, stateRoot string) Program {
	return Program{Hash: hash, Path: filepath.Join(ProgramsDir(stateRoot), hash, "claude-bottle")}
}

// noteOf is where the hash of a program is noted, so that not every launch has
// to read it whole: under its path, size and time of change.
func noteOf(file *os.File, source, stateRoot string) (string, error) {
	info, err := file.Stat()
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
