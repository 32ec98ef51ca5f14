package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"claude-bottle/internal/workspace"
)

// perDir is how many files a directory of the tree has.
const perDir = 100

// measureCopy copies trees of many small files, by ours, by cp -a and by
// docker cp in turn.
func measureCopy(ctx context.Context, b *bench) error {
	for text := range strings.SplitSeq(b.files, ",") {
		files, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || files < 1 {
			return fmt.Errorf("--files: %q is no number of files", text)
		}
		if err := b.copyTree(ctx, files); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) copyTree(ctx context.Context, files int) (err error) {
	source, copies := filepath.Join(b.dir, "project"), filepath.Join(b.dir, "copies")
	if err := makeProject(source, files); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(source)) }()
	copied := func(do func(ctx context.Context, to string) error) contender {
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
	times, err := b.takeTurns(ctx, []contender{
		copied(func(ctx context.Context, to string) error {
			_, err := workspace.CopyIn(ctx, workspace.CopyOptions{
				Source: source, Work: to, Git: filepath.Join(copies, "git"), UID: os.Getuid(), GID: os.Getgid(),
			})
			return err
		}),
		copied(func(ctx context.Context, to string) error {
			_, err := output(b.tool(ctx, "cp", "-a", "--reflink=auto", source, to))
			return err
		}),
		func(ctx context.Context) (took, error) { return b.dockerCopy(ctx, source) },
	})
	if err != nil {
		return err
	}
	name := fmt.Sprintf("copy of %d files, of ", files)
	b.report.compare(name+"cp -a --reflink=auto", 0, wholes(times[0]), wholes(times[1]))
	b.report.compare(name+"docker cp", 0, wholes(times[0]), wholes(times[2]))
	return nil
}

// dockerCopy copies into a container that does not run, as the existing tool
// copies into one that does.
func (b *bench) dockerCopy(ctx context.Context, source string) (took, error) {
	name := b.id + "-copy"
	if _, err := output(b.docker(ctx, "create", "--pull", "never", "--name", name, "--label", label+"="+b.id, b.image, "true")); err != nil {
		return took{}, err
	}
	whole, err := timed(b.docker(ctx, "cp", source, name+":/home/node/workspace"))
	_, removing := output(b.docker(context.WithoutCancel(ctx), "rm", "-f", name))
	return took{whole, whole}, errors.Join(err, removing)
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
