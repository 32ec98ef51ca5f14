//go:build linux

package native

import (
	"strings"
	"testing"

	"claude-bottle/internal/bottle"
)

// sandboxes are tries to make one inside, each with what it prints when it can.
var sandboxes = map[string][2]string{
	"a user namespace":    {"unshare -Ur id -u", "0"},
	"a mount":             {"unshare -Urm sh -c 'mount -t tmpfs none /tmp && echo mounted'", "mounted"},
	"bubblewrap":          {"bwrap --unshare-all --ro-bind / / --proc /proc --dev /dev echo within", "within"},
	"a process namespace": {"unshare -Urpf --mount-proc sh -c 'echo $$'", "1"},
}

// TestNoSandboxWithin is what a bottle refuses without nested.
func TestNoSandboxWithin(t *testing.T) {
	b, _ := launched(t, nil)
	for name, try := range sandboxes {
		if out := sh(t, b, try[0]+" 2>&1"); !strings.Contains(out, "ermitted") && !strings.Contains(out, "ermission") {
			t.Errorf("%s: %q", name, out)
		}
	}
}

// TestNested makes each of those; what is within stays behind the bottle's own
// walls.
func TestNested(t *testing.T) {
	b, _ := launched(t, func(spec *bottle.Spec) { spec.Nested = true })
	for name, try := range sandboxes {
		if out := sh(t, b, try[0]+" 2>&1"); strings.TrimSpace(out) != try[1] {
			t.Errorf("%s: %q", name, out)
		}
	}
	// A newer mount(8) takes the older calls where there are no others, and gives up
	// where they are refused.
	const opens = `import ctypes, os; l = ctypes.CDLL(None, use_errno=True); l.syscall(430, b"tmpfs", 0); print(os.strerror(ctypes.get_errno()))`
	if out := sh(t, b, "unshare -Urm python3 -c '"+opens+"'"); out != "Function not implemented\n" {
		t.Errorf("the new calls for mounts: %q", out)
	}
	// Those of the bottle's own namespaces are its own.
	own := "-e ^/proc/sys/fs/mqueue/ -e /ns_last_pid$ -e /pid_max$ -e /auto_msgmni$ -e /msg[a-z]*$ -e /sem$ -e /shm[a-z_]*$"
	if out := sh(t, b, "find /proc/sys -type f -writable 2>/dev/null | grep -v "+own); out != "" {
		t.Errorf("settings: %s", out)
	}
	for name, script := range map[string]string{
		"a file system of the host's": "unshare -Urm sh -c 'mount -o remount,rw /usr; touch /usr/x'",
		"a device":                    "unshare -Urm mknod /tmp/sda b 8 0",
		"a packet socket":             "unshare -Urn python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
		"a setting of the host's":     "unshare -Urm sh -c 'echo x >/proc/sys/kernel/core_pattern'",
		"the new calls for mounts":    "unshare -Urm python3 -c 'import ctypes,os; l=ctypes.CDLL(None,use_errno=True); r=l.syscall(430,b\"tmpfs\",0); assert r>=0, os.strerror(ctypes.get_errno())'",
	} {
		if out := sh(t, b, "("+script+") 2>&1; echo code $?"); strings.HasSuffix(out, "code 0\n") {
			t.Errorf("%s: %q", name, out)
		}
	}
}
