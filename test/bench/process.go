package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func size(_ context.Context, b *bench) (string, error) {
	info, err := os.Stat(b.binary)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%.1f MB", float64(info.Size())/1e6), nil
}

// processStart is fork to end of the cheapest command.
func processStart(ctx context.Context, b *bench) (string, error) {
	var times []time.Duration
	for range 5 * b.pairs {
		took, err := timed(exec.CommandContext(ctx, b.binary, "version"))
		if err != nil {
			return "", err
		}
		times = append(times, took)
	}
	return spread(times), nil
}

// gatewayRest is the resident memory of a gateway that listens and has
// served nothing.
func gatewayRest(ctx context.Context, b *bench) (string, error) {
	policy := filepath.Join(b.dir, "policy.json")
	if err := os.WriteFile(policy, []byte(`{"allow":[{"host":"example.com"}]}`), 0o600); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, b.binary, "gateway",
		"--policy", policy, "--listen", "127.0.0.1:0", "--record", filepath.Join(b.dir, "record.jsonl"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	defer func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait() // it was told to end
	}()
	// Its first line says where it listens.
	line, err := bufio.NewReader(stderr).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the gateway said %q: %w", line, err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return fmt.Sprintf("%.1f MiB", kib/1024), nil
		}
	}
	return "", errors.New("no VmRSS")
}

// timed runs a command to its end; its output is in the error alone.
func timed(cmd *exec.Cmd) (time.Duration, error) {
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, output.String())
	}
	return time.Since(begin), nil
}
