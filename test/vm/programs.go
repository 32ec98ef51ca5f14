package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"claude-bottle/internal/bottle/bottletest"
	escape "claude-bottle/test/escape/program"
)

// restricted stands for Ubuntu's setting, which Debian's kernel does not have.
const restricted = "/run/apparmor_restrict_unprivileged_userns"

// programs builds what the machine runs, as a disk below dir.
func programs(ctx context.Context, dir, tests string) (string, error) {
	out := filepath.Join(dir, "programs")
	if err := os.Mkdir(out, 0o755); err != nil {
		return "", err
	}
	for name, args := range map[string][]string{
		"part":          {"build", "claude-bottle/cmd/part"},
		"claude-bottle": {"build", "claude-bottle/cmd/claude-bottle"},
		"on-ubuntu":     {"build", "-ldflags", "-X claude-bottle/internal/platform/native.apparmorRestricted=" + restricted, "claude-bottle/cmd/claude-bottle"},
		"escape":        {"build", "-trimpath", "claude-bottle/test/escape/cmd/escape"},
		"native.test":   {"test", "-c", "claude-bottle/internal/platform/native"},
		"machine.test":  {"test", "-c", "claude-bottle/test/vm/machine"},
	} {
		build := exec.CommandContext(ctx, "go", append([]string{args[0], "-o", filepath.Join(out, name)}, args[1:]...)...)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if text, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%s: %w\n%s", name, err, text)
		}
	}
	environment := []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "CLAUDE_BOTTLE_TEST_BINARY=/programs/part", escape.Variable + "=/programs/escape",
		bottletest.PatienceVariable + "=10m", "RESTRICTED=" + restricted,
	}
	if tests != "" {
		environment = append(environment, "TESTS=-test.run="+tests)
	}
	if err := os.WriteFile(filepath.Join(out, "environment"), []byte(strings.Join(environment, "\n")+"\n"), 0o600); err != nil {
		return "", err
	}
	image := filepath.Join(dir, "programs.img")
	return image, disk(ctx, out, image, "256M")
}
