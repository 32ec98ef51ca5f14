package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"claude-bottle/internal/hint"
)

// program is our own binary, installed where containers can mount it from.
// It is command, guest and gateway in one.
type program struct {
	Hash string // SHA-256, hexadecimal
	Path string // <state>/bin/HASH/claude-bottle, mode 0755, never changed
}

// installProgram copies the program that is running (or the one at source)
// into the state directory, once for each of its versions: a bottle that runs
// keeps the file it was started with when the program is upgraded.
func installProgram(source, stateRoot string) (program, error) {
	if source == "" {
		if runtime.GOOS != "linux" {
			return program{}, hint.With(errors.New("this program cannot run inside a bottle: it is not built for Linux"),
				"use a release build, which carries the Linux program")
		}
		source = "/proc/self/exe" // what runs, even when its file was replaced
	}
	file, err := os.Open(source)
	if err != nil {
		return program{}, fmt.Errorf("open our own binary: %w", err)
	}
	defer func() { _ = file.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, file); err != nil {
		return program{}, fmt.Errorf("read our own binary: %w", err)
	}
	b := program{Hash: hex.EncodeToString(h.Sum(nil))}
	b.Path = filepath.Join(programsDir(stateRoot), b.Hash, "claude-bottle")
	if _, err := os.Stat(b.Path); err == nil {
		return b, nil
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return program{}, err
	}
	if err := copyInto(file, b.Path); err != nil {
		return program{}, fmt.Errorf("install our own binary: %w", err)
	}
	return b, nil
}

func programsDir(stateRoot string) string { return filepath.Join(stateRoot, "bin") }

// copyInto writes path whole or not at all; two that do it at once both
// succeed.
func copyInto(from io.Reader, path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
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
