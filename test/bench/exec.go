package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// measureExec runs `true` in a bottle and, by docker exec, in a bare container,
// in turn: the first time, in both new ones, and once more. What `start` itself
// runs inside needs no exec of the engine; see the trace.
func measureExec(ctx context.Context, b *bench, runtime string) error {
	var first, later [2][]time.Duration // ours, docker's
	rounds := b.rounds()
	for rounds.next() {
		times, err := b.execPair(ctx, runtime, rounds.done%2)
		if err != nil {
			return err
		}
		if rounds.warming() {
			continue
		}
		for i := range times {
			first[i], later[i] = append(first[i], times[i][0]), append(later[i], times[i][1])
		}
	}
	name := "docker, " + runtime + ": "
	b.report.compare(name+"first exec RUN -- true, of the first docker exec", 0, first[0], first[1])
	b.report.compare(name+"later exec RUN -- true, of a later docker exec", 0, later[0], later[1])
	return nil
}

// execPair is the first and a later exec of ours and of docker's, in a new
// bottle and a new container. turn says which of the two begins.
func (b *bench) execPair(ctx context.Context, runtime string, turn int) (times [2][2]time.Duration, err error) {
	h, err := hold(b.ours(ctx, "start", "hold-"+runtime, "--yes"))
	if err != nil {
		return times, err
	}
	defer func() { err = errors.Join(err, h.end()) }()
	if err := h.ready(); err != nil {
		return times, err
	}
	name, err := b.bottleName(ctx)
	if err != nil {
		return times, err
	}
	bare := b.id + "-exec"
	if _, err := output(b.docker(ctx, "run", "--pull", "never", "-d", "--name", bare, "--label", label+"="+b.id,
		"--runtime", runtime, b.image, "sleep", "infinity")); err != nil {
		return times, err
	}
	defer func() {
		_, removing := output(b.docker(context.WithoutCancel(ctx), "rm", "-f", bare))
		err = errors.Join(err, removing)
	}()
	for which := range 2 {
		for i := range 2 {
			who := (i + turn) % 2
			cmd := b.ours(ctx, "exec", name, "--", "true")
			if who == 1 {
				cmd = b.docker(ctx, "exec", bare, "true")
			}
			if times[who][which], err = timed(cmd); err != nil {
				return times, err
			}
		}
	}
	return times, nil
}

// bottleName is that of the one bottle that runs.
func (b *bench) bottleName(ctx context.Context) (string, error) {
	out, err := output(b.docker(ctx, "ps", "--format", "{{.Names}}",
		"--filter", "label=claude-bottle.owner="+b.owner, "--filter", "label=claude-bottle.role=agent"))
	if err != nil {
		return "", err
	}
	name := strings.TrimSpace(string(out))
	if name == "" || strings.Contains(name, "\n") {
		return "", fmt.Errorf("one bottle should run, and these do: %q", name)
	}
	return name, nil
}
