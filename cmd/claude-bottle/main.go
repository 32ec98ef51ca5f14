// Command claude-bottle runs coding agents in bottles: disposable sandboxes
// with one way out. Everything it does is in internal/cli; main hands over
// the process's arguments, streams and surroundings.
package main

import (
	"context"
	"os"

	"claude-bottle/internal/cli"
)

// version is set by the linker in release builds (-X main.version=v1.2.3).
var version string

func main() {
	streams := cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	os.Exit(cli.Main(context.Background(), os.Args[1:], streams, cli.Process(version, os.Exit)))
}
