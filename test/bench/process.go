package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// measureProcess is what the program itself costs.
func measureProcess(ctx context.Context, b *bench, _ string) error {
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	b.report.add("binary", "MB", 20, []float64{float64(info.Size()) / 1e6}, "")
	var times []time.Duration
	for range 5 * b.pairs {
		took, err := timed(exec.CommandContext(ctx, b.binary, "version"))
		if err != nil {
			return err
		}
		times = append(times, took)
	}
	b.report.add("claude-bottle version", "ms", 10, milliseconds(times), "fork to end")
	resident, err := gatewayRest(ctx, b)
	if err != nil {
		return err
	}
	b.report.add("gateway at rest, resident", "MiB", 15, []float64{resident}, "it listens and has served nothing")
	return nil
}

// gatewayRest is the resident memory, in MiB, of a gateway that listens and
// has served nothing.
func gatewayRest(ctx context.Context, b *bench) (float64, error) {
	policy := filepath.Join(b.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"allow":[{"host":"example.com"}]}`), 0o600); err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, b.binary, "gateway",
		"--policy", policy, "--listen", "127.0.0.1:0", "--record", filepath.Join(b.dir, "record.jsonl"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it was told to end
	}()
	// Its first line says where it listens.
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("the gateway said %q: %w", line, err)
	}
	used, err := memoryOf(cmd.Process.Pid)
	return used.resident, err
}
