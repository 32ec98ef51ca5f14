package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// measureExec runs `true` in a bottle that runs, by ours and by docker exec in
// turn.
func measureExec(ctx context.Context, b *bench) (err error) {
	h, err := hold(b.ours(ctx, "start", "hold-runc", "--yes"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.end()) }()
	if err := h.ready(); err != nil {
		return err
	}
	out, err := output(b.docker(ctx, "ps", "--format", "{{.Names}}",
		"--filter", "label=claude-bottle.owner="+b.owner, "--filter", "label=claude-bottle.role=agent"))
	if err != nil {
		return err
	}
	name := strings.TrimSpace(string(out))
	if name == "" || strings.Contains(name, "\n") {
		return fmt.Errorf("one bottle should run, and these do: %q", name)
	}
	times, err := takeTurns(ctx, []contender{
		func(ctx context.Context) (took, error) {
			whole, err := timed(b.ours(ctx, "exec", name, "--", "true"))
			return took{whole, whole}, err
		},
		func(ctx context.Context) (took, error) {
			whole, err := timed(b.docker(ctx, "exec", name, "true"))
			return took{whole, whole}, err
		},
	}, 2*b.pairs)
	if err != nil {
		return err
	}
	b.report.compare("exec RUN -- true, of docker exec", 0, wholes(times[0]), wholes(times[1]))
	return nil
}
