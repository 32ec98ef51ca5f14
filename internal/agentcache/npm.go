package agentcache

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"claude-bottle/internal/harness"
)

// npm is the person's; never one of a relative directory, which could be a
// project's.
func (c Cache) npm() string {
	for _, dir := range filepath.SplitList(c.Getenv("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path, err := exec.LookPath(filepath.Join(dir, "npm")); err == nil {
			return path
		}
	}
	return ""
}

// fetch has npm put a package into an empty directory. It runs there, so that
// no project's .npmrc counts; and none of the package's own scripts runs, since
// what they would do they would do as the person.
func (c Cache) fetch(ctx context.Context, p harness.Package, dir string, said io.Writer) error {
	cmd := exec.CommandContext(ctx, c.npm(), "install", "--prefix", dir, "--ignore-scripts", "--no-audit", "--no-fund",
		"--no-save", "--omit=dev", "--loglevel=error", "--install-strategy=hoisted", p.Spec())
	cmd.Dir, cmd.Env = dir, c.environment()
	var last lastLines
	cmd.Stdout, cmd.Stderr = said, io.MultiWriter(said, &last)
	// npm's children go with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("npm: %w%s", err, last.text())
	}
	return nil
}

// environment is the person's, without what npm sets for a script: started by
// one, it would take that project for its own.
func (c Cache) environment() []string {
	var env []string
	for _, entry := range c.Environ {
		name, _, _ := strings.Cut(entry, "=")
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "npm_") && !strings.HasPrefix(name, "NPM_CONFIG_") || lower == "npm_config_prefix" || name == "INIT_CWD" {
			continue
		}
		env = append(env, entry)
	}
	return append(env, "npm_config_update_notifier=false")
}

// lastLines keeps the end of what is written to it.
type lastLines struct{ kept []byte }

const keptBytes = 1 << 10

func (l *lastLines) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p...)
	if more := len(l.kept) - keptBytes; more > 0 {
		l.kept = l.kept[more:]
	}
	return len(p), nil
}

func (l *lastLines) text() string {
	text := strings.TrimSpace(string(l.kept))
	if text == "" {
		return ""
	}
	return ": " + strings.Join(strings.Fields(text), " ")
}
