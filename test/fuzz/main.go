// Command fuzz runs every fuzz target of the tree for some seconds, one after
// the other, beginning with the corpora that are kept. The first that finds
// something ends it; go test says where the input is that did it.
package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

func main() {
	during := flag.Duration("time", 5*time.Second, "how long each target runs")
	only := flag.String("only", "", "a regular `expression` for the targets' names")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *during, *only); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, during time.Duration, only string) error {
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	return filepath.WalkDir("internal", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, found := range target.FindAllSubmatch(source, -1) {
			name := string(found[1])
			if !wanted.MatchString(name) {
				continue
			}
			cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-fuzz", "^"+name+"$", "-fuzztime", during.String(), "./"+filepath.Dir(path))
			cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
			fmt.Fprintln(os.Stderr, name)
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s in %s: %w", name, path, err)
			}
		}
		return nil
	})
}

var target = regexp.MustCompile(`(?m)^func (Fuzz\w+)\(f \*testing\.F\)`)
