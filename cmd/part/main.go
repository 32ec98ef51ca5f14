// Command part is the parts of a bottle without the command that people type:
// what of our program is inside and beside a bottle. Builds of claude-bottle for
// other systems than Linux carry it (package carried).
package main

import (
	"context"
	"fmt"
	"os"

	"claude-bottle/internal/beside"
	"claude-bottle/internal/parts"
)

func main() {
	process := parts.Process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}
	code, ok := beside.Serve(context.Background(), process, os.Args[1:])
	if !ok {
		_, _ = fmt.Fprintln(os.Stderr, "error: this is the part of claude-bottle that runs in bottles and beside them")
		code = 2
	}
	os.Exit(code)
}
