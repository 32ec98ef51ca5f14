// Command build builds claude-bottle as it is released: it carries cmd/part, the
// smaller program that its bottles run.
//
//	go run ./cmd/build -o bin/claude-bottle
//
// GOOS and GOARCH choose the host's system as ever; bottles are Linux.
package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var b build
	flag.StringVar(&b.out, "o", "claude-bottle", "the program to write")
	flag.StringVar(&b.version, "version", "", "what it says of itself")
	flag.StringVar(&b.tags, "tags", "", "build tags")
	flag.Parse()
	if err := b.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// carried is the file, below the module's root, that the program to carry is
// laid over.
const carried = "internal/carried/part.gz"

type build struct{ out, version, tags string }

func (b build) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "claude-bottle-build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	part := filepath.Join(dir, "part")
	if err := b.compile(ctx, []string{"GOOS=linux"}, "-ldflags", "-s -w", "-o", part, "claude-bottle/cmd/part"); err != nil {
		return err
	}
	if err := compress(part, part+".gz"); err != nil {
		return err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, carried): part + ".gz"}})
	if err == nil {
		err = os.WriteFile(overlay, text, 0o600)
	}
	if err != nil {
		return err
	}
	return b.compile(ctx, nil, "-overlay", overlay, "-ldflags", "-s -w -X main.version="+b.version, "-o", b.out, "claude-bottle/cmd/claude-bottle")
}

// compile runs the compiler, which says on standard error what is wrong.
func (b build) compile(ctx context.Context, env []string, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-tags", b.tags}, args...)...)
	cmd.Env = append(append(os.Environ(), "CGO_ENABLED=0"), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

func compress(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	z, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		return err
	}
	_, err = io.Copy(z, in)
	return errors.Join(err, z.Close())
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}
