//go:build linux

package native

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/supervise"
)

// withoutVariable tells a process of the test binary to do without Landlock.
const withoutVariable = "CLAUDE_BOTTLE_TEST_WITHOUT_LANDLOCK"

// TestWithoutLandlock launches a bottle on a kernel that answers ENOSYS to the
// calls of Landlock, as one does that was built without.
func TestWithoutLandlock(t *testing.T) {
	needBubblewrap(t)
	if os.Getenv(withoutVariable) != "" {
		answerNoSuchCall(t, unix.SYS_LANDLOCK_CREATE_RULESET, unix.SYS_LANDLOCK_ADD_RULE, unix.SYS_LANDLOCK_RESTRICT_SELF)
		if supervise.HasLandlock() {
			t.Fatal("the kernel still has Landlock")
		}
		b, _ := launched(t, nil)
		if out := sh(t, b, "echo inside"); out != "inside\n" {
			t.Errorf("it printed %q", out)
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestWithoutLandlock$", "-test.v")
	cmd.Env = append(os.Environ(), withoutVariable+"=1", binaryVariable+"="+ourBinary(t))
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestWithoutLandlock") {
		t.Errorf("%v\n%s", err, out)
	}
}

// answerNoSuchCall puts a filter on this process and all that it starts.
func answerNoSuchCall(t *testing.T, calls ...uint32) {
	t.Helper()
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: 0, Size: 4}} // the call's number
	for i, call := range calls {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpEqual, Val: call, SkipTrue: uint8(len(calls) - i)})
	}
	program = append(program,
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW}, bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)})
	raw, err := bpf.Assemble(program)
	if err != nil {
		t.Fatal(err)
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, one := range raw {
		filter[i] = unix.SockFilter{Code: one.Op, Jt: one.Jt, Jf: one.Jf, K: one.K}
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	fprog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		t.Fatal(errno)
	}
}
