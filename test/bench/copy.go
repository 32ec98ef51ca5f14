package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"claude-bottle/internal/workspace"
)

// perDir is how many files a directory of the tree has.
const perDir = 100

// measureCopy copies a tree of many small files, by ours and by cp -a in turn.
func measureCopy(ctx context.Context, b *bench) error {
	source := filepath.Join(b.dir, "project")
	if err := makeProject(source, b.files); err != nil {
		return err
	}
	copies := filepath.Join(b.dir, "copies")
	timedCopy := func(do func(ctx context.Context, to string) error) contender {
		return func(ctx context.Context) (took, error) {
			if err := os.Mkdir(copies, 0o700); err != nil {
				return took{}, err
			}
			begin := time.Now()
			err := do(ctx, filepath.Join(copies, "work"))
			whole := time.Since(begin)
			return took{whole, whole}, errors.Join(err, os.RemoveAll(copies))
		}
	}
	times, err := takeTurns(ctx, []contender{
		timedCopy(func(ctx context.Context, to string) error {
			_, err := workspace.CopyIn(ctx, workspace.CopyOptions{
				Source: source, Work: to, Git: filepath.Join(copies, "git"), UID: os.Getuid(), GID: os.Getgid(),
			})
			return err
		}),
		timedCopy(func(ctx context.Context, to string) error {
			_, err := output(exec.CommandContext(ctx, "cp", "-a", source, to))
			return err
		}),
	}, b.pairs)
	if err != nil {
		return err
	}
	b.report.compare(fmt.Sprintf("copy of %d files, of cp -a", b.files), 0, wholes(times[0]), wholes(times[1]))
	return os.RemoveAll(source)
}

// makeProject makes a tree of files of 100 bytes to 8 KB.
func makeProject(dir string, files int) error {
	content := bytes.Repeat([]byte("0123456789abcdef\n"), 500)
	for i := range files {
		below := filepath.Join(dir, fmt.Sprintf("part%d/package%d", i/perDir/10, i/perDir))
		if i%perDir == 0 {
			if err := os.MkdirAll(below, 0o755); err != nil {
				return err
			}
		}
		size := 100 + i*7919%8000
		if err := os.WriteFile(filepath.Join(below, fmt.Sprintf("file%d.txt", i)), content[:size], 0o600); err != nil {
			return err
		}
	}
	return nil
}
