// Command guest is the parts of a bottle that are inside, and the ones by which
// a native bottle starts, without the gateway and without the command that
// people type. Builds of claude-bottle carry it (package carried).
//
// The limits of its control group are the agent's: these processes do little, and
// a launch waits for each that first reads what the kernel says of its groups.
//
//go:debug containermaxprocs=0
package main

import (
	"context"
	"fmt"
	"os"

	"claude-bottle/internal/parts"
)

func main() {
	process := parts.Process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	code, ok := process.Serve(context.Background(), os.Args[1:])
	if !ok {
		_, _ = fmt.Fprintln(os.Stderr, "error: this is the part of claude-bottle that runs in bottles")
		code = 2
	}
	os.Exit(code)
}
