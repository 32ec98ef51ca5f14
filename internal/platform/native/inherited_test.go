//go:build linux

package native

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/supervise"
)

// TestInheritedDescriptorsGoNoFurther: what a shell or an editor left open in the
// launcher is in no process of a bottle, the gateway included, and in nobody's
// way: bubblewrap reads files from descriptors with numbers of their own.
func TestInheritedDescriptorsGoNoFurther(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	left, err := os.Readlink("/proc/self/fd/" + itoa(int(read.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range []int{9, supervise.FirstContentFD} {
		fd, err := unix.FcntlInt(read.Fd(), unix.F_DUPFD, from) // does not close on exec
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	b, _ := launched(t, nil)
	if out := sh(t, b, "echo inside"); out != "inside\n" {
		t.Errorf("the bottle printed %q", out)
	}
	for _, pid := range descendants(t, os.Getpid()) {
		files, _ := filepath.Glob("/proc/" + itoa(pid) + "/fd/*")
		for _, file := range files {
			if open, err := os.Readlink(file); err == nil && open == left {
				t.Errorf("process %d has it open as %s", pid, file)
			}
		}
	}
}
