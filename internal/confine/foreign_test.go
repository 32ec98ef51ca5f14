//go:build linux && amd64

package confine

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"claude-bottle/test/engine"
)

// foreign makes calls of other ABIs from a 64-bit program.
const foreign = `
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int int80(int nr, int a, int b) {
	int ret;
	__asm__ volatile("int $0x80" : "=a"(ret) : "a"(nr), "b"(a), "c"(b) : "memory", "r8", "r9", "r10", "r11");
	return ret;
}

int main(int argc, char **argv) {
	const char *what = argc > 1 ? argv[1] : "";
	long ret;
	errno = 0;
	if (!strcmp(what, "i386 getpid")) {
		ret = int80(20, 0, 0);
	} else if (!strcmp(what, "i386 socketcall")) { /* socket(AF_PACKET, SOCK_DGRAM, 0) */
		int *args = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
		args[0] = 17; args[1] = 2; args[2] = 0;
		ret = int80(102, 1, (int)(long)args);
	} else if (!strcmp(what, "x32 getpid")) {
		ret = syscall(0x40000000 | SYS_getpid);
	} else if (!strcmp(what, "x32 socket")) {
		ret = syscall(0x40000000 | SYS_socket, 17, 2, 0);
	} else {
		return 2;
	}
	printf("%ld %d\n", ret, errno);
	return 0;
}
`

// start32 is a whole program of the other ABI: it leaves with code 7.
const start32 = `
void _start(void) { __asm__ volatile("int $0x80" : : "a"(1), "b"(7)); }
`

// compiled is a C program.
func compiled(t *testing.T, source string, flags ...string) string {
	t.Helper()
	engine.Tool(t, "gcc")
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "program.c"), []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "gcc", append(flags, "-o", "program", "program.c")...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	return filepath.Join(dir, "program")
}

// TestForeignABIs: a filter that knows only one ABI's numbers is gone around
// by calling through another, and socketcall(2) hides a socket's family.
func TestForeignABIs(t *testing.T) {
	t.Parallel()
	program := compiled(t, foreign)
	for _, test := range []struct {
		what   string
		killed bool
	}{
		{"i386 getpid", true},
		{"i386 socketcall", true},
		{"x32 getpid", false},
		{"x32 socket", false},
	} {
		t.Run(test.what, func(t *testing.T) {
			bare, bareErr := exec.CommandContext(t.Context(), program, test.what).Output()
			t.Logf("without the filter: %s %v", strings.TrimSpace(string(bare)), bareErr)
			out, err := inRole(t, roleRun, program, test.what).Output()
			switch {
			case test.killed && !killedBy(err, syscall.SIGSYS) && bareErr != nil:
				t.Logf("the kernel itself knows no such ABI: %v", err)
			case test.killed && !killedBy(err, syscall.SIGSYS):
				t.Errorf("%v: %s", err, out)
			case !test.killed && (err != nil || string(out) != "-1 38\n"):
				t.Errorf("%v: %q, want ENOSYS", err, out)
			}
		})
	}
}

func TestForeignProgram(t *testing.T) {
	t.Parallel()
	program := compiled(t, start32, "-m32", "-nostdlib", "-static", "-fno-pie", "-no-pie")
	err := exec.CommandContext(t.Context(), program).Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Skipf("the kernel runs no 32-bit programs: %v", err)
	}
	if err := inRole(t, roleRun, program).Run(); !killedBy(err, syscall.SIGSYS) {
		t.Errorf("a 32-bit program: %v", err)
	}
}

func killedBy(err error, signal syscall.Signal) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == signal
}
