//go:build linux

package bottletest

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/guest" //nolint:depguard // the fake runs the real guest
	"claude-bottle/internal/probe"
	"claude-bottle/internal/wire"
)

// insideName is argv[0] of a bottle's process 1.
const insideName = "claude-bottle-fake-inside"

// nonceInside is where the guest finds the nonce's file.
const nonceInside = "/home/.claude-bottle-nonce"

// insideConfig says what to mount where. It is an argument, so that `ps` shows
// whose bottle a process is; it holds no secret.
type insideConfig struct {
	Run       string `json:"run"`
	Dir       string `json:"dir"` // of the run
	Home      string `json:"home"`
	Workspace string `json:"workspace"`
	UID       int    `json:"uid"`
	GID       int    `json:"gid"`
}

// Main turns the process into a bottle's process 1 when a [Fake] started it as
// one, and then does not return. It is the first call of the TestMain of every
// test binary that uses a Fake.
func Main() {
	if len(os.Args) > 1 && slices.Equal(os.Args[1:], guest.ProbeArgs()) {
		if err := probe.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(0) //nolint:forbidigo // the guest's child, and no test
	}
	if len(os.Args) != 2 || os.Args[0] != insideName {
		return
	}
	code, err := beInside(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code) //nolint:forbidigo // a process 1 of a bottle, and no test
}

func beInside(argument string) (int, error) {
	var config insideConfig
	if err := json.Unmarshal([]byte(argument), &config); err != nil {
		return 1, fmt.Errorf("read the configuration: %w", err)
	}
	if err := mountInside(config); err != nil {
		return 1, fmt.Errorf("mount: %w", err)
	}
	if err := becomeAgent(config); err != nil {
		return 1, fmt.Errorf("become uid %d: %w", config.UID, err)
	}
	if err := os.Chdir(config.Workspace); err != nil {
		return 1, err
	}
	listener, err := net.FileListener(os.NewFile(3, "socket"))
	if err != nil {
		return 1, fmt.Errorf("take over the socket: %w", err)
	}
	go answer(listener)
	return guest.Init(context.Background(), os.Stdin, os.Stdout, wire.Bounds{}), nil
}

// answer carries conversations from the launcher's socket to the guest's, as
// `guest dial` does for engines. It ends with the process.
func answer(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_ = guest.Dial(context.Background(), conn, conn) // the launcher sees the stream end
		}()
	}
}

// mountInside puts the run's directories where the bottle expects them. The
// host's /home is hidden; the files of etc lie over the host's.
func mountInside(config insideConfig) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	// Opened before /home is hidden: the run may be below it.
	run, err := os.Open(config.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = run.Close() }()
	source := func(name string) string { return fmt.Sprintf("/proc/self/fd/%d/%s", run.Fd(), name) }

	layers := "lowerdir=" + source(bottle.EtcDir) + ":/etc"
	if err := unix.Mount("overlay", "/etc", "overlay", unix.MS_RDONLY, layers); err != nil {
		return fmt.Errorf("/etc: %w", err)
	}
	if err := unix.Mount("tmpfs", "/home", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("/home: %w", err)
	}
	if err := os.WriteFile(nonceInside, nil, 0o644); err != nil {
		return err
	}
	for _, bind := range []struct{ from, to string }{
		{bottle.NonceFile, nonceInside},
		{bottle.HomeDir, config.Home},
		{bottle.WorkDir, config.Workspace},
		{bottle.GitDir, filepath.Join(config.Workspace, ".git")},
	} {
		if bind.to != nonceInside {
			if err := os.MkdirAll(bind.to, 0o755); err != nil {
				return err
			}
		}
		if err := unix.Mount(source(bind.from), bind.to, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("%s: %w", bind.to, err)
		}
	}
	return nil
}

// becomeAgent gives up root for good.
func becomeAgent(config insideConfig) error {
	if os.Getuid() != 0 {
		return nil // it is the agent already, in a user namespace of its own
	}
	if err := syscall.Setgroups(nil); err != nil {
		return err
	}
	if err := syscall.Setresgid(config.GID, config.GID, config.GID); err != nil {
		return err
	}
	return syscall.Setresuid(config.UID, config.UID, config.UID)
}
