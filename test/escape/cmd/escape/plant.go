//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"claude-bottle/test/escape/attacks"
)

// plant leaves its trees in the workspace and in the home, for the host's
// commands to step on. Its argument is a directory of the host's.
func plant(_ context.Context, args []string, _ io.Reader, _ io.Writer) error {
	workspace, err := os.Getwd()
	if err != nil {
		return err
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	return errors.Join(attacks.Plant(workspace, args[0]), attacks.Plant(filepath.Join(home, "planted"), args[0]))
}

// race plants, and then changes what names mean until its input ends.
func race(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	workspace, err := os.Getwd()
	if err != nil {
		return err
	}
	dir := filepath.Join(workspace, "race")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	fmt.Fprintln(out, "racing")
	return attacks.Race(dir, args[0], untilEnd(in))
}
