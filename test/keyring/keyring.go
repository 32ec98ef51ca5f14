// Package keyring brings up a message bus with a keychain on it: dbus-daemon
// and gnome-keyring-daemon, with directories of their own, for as long as a
// test runs. Nothing of the person's session is touched.
package keyring

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"claude-bottle/test/engine"
)

// config is of a bus that starts nothing by itself and listens in one place.
const config = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=%s</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
`

// Bus starts a bus that nobody keeps secrets on, and returns the environment
// that leads to it.
func Bus(t testing.TB) []string {
	t.Helper()
	dir, err := os.MkdirTemp("", "keyring") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket, file := filepath.Join(dir, "bus"), filepath.Join(dir, "bus.conf")
	if err := os.WriteFile(file, fmt.Appendf(nil, config, socket), 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{
		"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir, "XDG_DATA_HOME=" + filepath.Join(dir, "data"),
		"XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
		"DBUS_SESSION_BUS_ADDRESS=unix:path=" + socket,
	}
	out := begin(t, env, "", "dbus-daemon", "--config-file="+file, "--nofork", "--print-address")
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("dbus-daemon: %v", err)
	}
	return env
}

// Start starts a bus with a keychain that is unlocked, and returns the
// environment that leads to it.
func Start(t testing.TB) []string {
	t.Helper()
	env := Bus(t)
	begin(t, env, "the test's password", "gnome-keyring-daemon", "--foreground", "--unlock", "--components=secrets")
	deadline := time.Now().Add(20 * time.Second)
	for {
		probe := exec.CommandContext(t.Context(), engine.Tool(t, "secret-tool"), "search", "service", "nobody")
		probe.Env = append(os.Environ(), env...)
		out, err := probe.CombinedOutput()
		if err == nil {
			return env
		}
		if time.Now().After(deadline) {
			t.Fatalf("the keychain does not answer: %v\n%s", err, out)
		}
	}
}

// begin starts a program that runs until the test has ended.
func begin(t testing.TB, env []string, input, program string, args ...string) io.Reader {
	t.Helper()
	cmd := exec.Command(engine.Tool(t, program), args...) //nolint:noctx // it ends with the test, below
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return out
}
