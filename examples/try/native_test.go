package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"claude-bottle/test/engine"
)

// ordinary is a user who may do nothing special.
const ordinary = 1000

// TestMakeTryNative runs what `make try` runs on a machine where no engine
// answers, without a token: a bottle attacks itself, then a real Claude Code,
// which npm installs, writes a file in a native bottle. A second time nothing is
// fetched, and it takes less than a minute.
func TestMakeTryNative(t *testing.T) {
	engine.Long(t)
	if runtime.GOOS != "linux" {
		t.Skip("native bottles are Linux's")
	}
	for _, program := range []string{"npm", "bwrap"} {
		engine.Tool(t, program)
	}
	for name, uid := range map[string]int{"as it is": os.Getuid(), "ordinary user": ordinary} {
		t.Run(name, func(t *testing.T) {
			if uid != os.Getuid() && os.Getuid() != 0 {
				t.Skip("the tests run as an ordinary user already")
			}
			home := homeOf(t, uid)
			out := makeTry(t, home, uid)
			if !strings.Contains(out, "with npm, once") {
				t.Errorf("the plan does not say that it installs:\n%s", out)
			}
			began := time.Now()
			out = makeTry(t, home, uid)
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			if strings.Contains(out, "with npm, once") {
				t.Errorf("it installed again:\n%s", out)
			}
		})
	}
}

func makeTry(t *testing.T, home string, uid int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(home, "engine"), "--or-native", "--",
		filepath.Join(home, "try"), "--binary", filepath.Join(home, "claude-bottle"), "--examples", filepath.Join(home, "examples"))
	cmd.Dir = home
	// What package clients need here stays: a private root, a proxy.
	cmd.Env = append(os.Environ(), "CLAUDE_BOTTLE_OAUTH_TOKEN=", "ANTHROPIC_API_KEY=", "CLAUDE_BOTTLE_PLATFORM=",
		"HOME="+home, "TMPDIR="+filepath.Join(home, "tmp"), "XDG_STATE_HOME="+filepath.Join(home, "state"), "XDG_CACHE_HOME="+filepath.Join(home, "cache"),
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "DOCKER_HOST=unix://"+filepath.Join(home, "no-engine"))
	if uid != os.Getuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"taking native bottles", "on native: ", "none got out", "platform       : native", "all closed", "hello.txt", "ended (0); work: 1 added",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is not in what it prints:\n%s", want, out)
		}
	}
	return string(out)
}

// homeOf is a home, below which every user can pass, with all that `make try`
// builds and what it starts from.
func homeOf(t *testing.T, uid int) string {
	t.Helper()
	home, err := os.MkdirTemp("/var/tmp", "claude-bottle-try-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	for program, source := range map[string]string{"engine": "test/engine/cmd/engine", "try": "examples/try", "claude-bottle": "cmd/claude-bottle"} {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(home, program), "claude-bottle/"+source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	err = errors.Join(os.CopyFS(filepath.Join(home, "examples"), os.DirFS("..")), os.Mkdir(filepath.Join(home, "tmp"), 0o755),
		os.Chmod(home, 0o755),
		filepath.WalkDir(home, func(path string, _ fs.DirEntry, err error) error { return errors.Join(err, os.Lchown(path, uid, uid)) }))
	if err != nil {
		t.Fatal(err)
	}
	return home
}
