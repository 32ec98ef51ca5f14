package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"claude-bottle/test/engine"
)

// launch is a whole run of `true` in a bottle, from the command's start to
// its end, beside a bare container of the same image, in alternating pairs.
func launch(ctx context.Context, b *bench) (string, error) {
	manifest := "bottles: {b: {isolation: runc}}\nagents: {a: {bottle: b, harness: {command: ['true']}}}\n"
	if err := os.WriteFile(filepath.Join(b.dir, "claude-bottle.yaml"), []byte(manifest), 0o600); err != nil {
		return "", err
	}
	ours := func() (time.Duration, error) {
		cmd := exec.CommandContext(ctx, b.binary, "start", "a", "--yes")
		cmd.Dir = b.dir
		cmd.Env = append(os.Environ(), "HOME="+b.dir, "XDG_STATE_HOME="+filepath.Join(b.dir, "state"),
			"CLAUDE_BOTTLE_IMAGE="+engine.BaseImage)
		return timed(cmd)
	}
	bare := func() (time.Duration, error) {
		return timed(exec.CommandContext(ctx, "docker", "run", "--rm", engine.BaseImage, "true"))
	}
	// The first of each builds the gateway's image and warms the caches.
	for _, run := range []func() (time.Duration, error){ours, bare} {
		if _, err := run(); err != nil {
			return "", err
		}
	}
	var our, peer []time.Duration
	for range b.pairs {
		took, err := ours()
		if err != nil {
			return "", err
		}
		our = append(our, took)
		if took, err = bare(); err != nil {
			return "", err
		}
		peer = append(peer, took)
	}
	ratio := median(our).Seconds() / median(peer).Seconds()
	return fmt.Sprintf("%s, %.2f of %s", spread(our), ratio, spread(peer)), nil
}
