package cli

import (
	"context"
	"fmt"
	"slices"
)

// serve runs the parts of the binary that platforms start inside their
// sandboxes. They are no commands for people, are in no help, and answer
// before the tree of commands is built: a bottle waits for them.
func (a *App) serve(ctx context.Context, args []string) (code int, ok bool) {
	servers := []struct {
		args []string
		run  func(ctx context.Context) error
	}{}
	for _, server := range servers {
		if !slices.Equal(args, server.args) {
			continue
		}
		if err := server.run(ctx); err != nil {
			fmt.Fprintf(a.Err, "error: %v\n", err)
			return exitFailure, true
		}
		return 0, true
	}
	return 0, false
}
