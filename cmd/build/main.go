// Command build builds claude-bottle as it is released: it carries cmd/guest, the
// small program that runs in its bottles, and for hosts that are not Linux
// cmd/part, whose gateway they cannot be.
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

// carried is the directory, below the module's root, of the files that programs
// to carry are laid over.
const carried = "internal/carried"

type build struct{ out, version, tags string }

func (b build) run(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "claude-bottle-build-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root, err := output(ctx, "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	system, err := output(ctx, "env", "GOOS")
	if err != nil {
		return err
	}
	programs := map[string]string{"guest.gz": "claude-bottle/cmd/guest"}
	if system != "linux" {
		programs["gateway.gz"] = "claude-bottle/cmd/part"
	}
	replaced := map[string]string{}
	for file, program := range programs {
		path := filepath.Join(dir, file)
		if err := b.compile(ctx, []string{"GOOS=linux"}, "-ldflags", "-s -w", "-o", path+".program", program); err != nil {
			return err
		}
		if err := compress(path+".program", path); err != nil {
			return err
		}
		replaced[filepath.Join(root, carried, file)] = path
	}
	overlay := filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": replaced})
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

// output is what the go command says.
func output(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output()
	return strings.TrimSpace(string(out)), err
}
