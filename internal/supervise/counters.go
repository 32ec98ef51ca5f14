//go:build linux

package supervise

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// What the kernel counts for each user, across namespaces: a bottle that takes
// all of it leaves none to the person's other programs (TestWatchersAreShared).
var shared = []struct{ bound, of string }{
	{"max_inotify_instances", "/proc/sys/fs/inotify/max_user_instances"},
	{"max_inotify_watches", "/proc/sys/fs/inotify/max_user_watches"},
}

// SharedPart is what part of each of these a bottle has at most: one of so many.
const SharedPart = 4

// boundShared leaves a bottle a part of what is the user's. The settings are
// those of this process's user namespace, and hold for those below it
// (namespaces(7), /proc/sys/user).
func boundShared() error {
	for _, s := range shared {
		text, err := os.ReadFile(s.of)
		if errors.Is(err, unix.ENOENT) {
			continue // a kernel without it
		}
		if err != nil {
			return err
		}
		most, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return fmt.Errorf("%s: %w", s.of, err)
		}
		if err := bound(s.bound, max(most/SharedPart, 1)); err != nil {
			return err
		}
	}
	return nil
}

// NestedNamespaces is how many of each kind a nested bottle may have at a time,
// its own among them: the kernel's memory for them is no process's.
const NestedNamespaces = 256

func boundNamespaces() error {
	for _, kind := range []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"} {
		if err := bound("max_"+kind+"_namespaces", NestedNamespaces); err != nil {
			return err
		}
	}
	return nil
}

// bound sets a limit of this user namespace. Where nothing in /proc/sys can be
// written, as in some containers, it stays as it is.
func bound(name string, most int) error {
	setting, err := os.OpenFile("/proc/sys/user/"+name, os.O_WRONLY, 0)
	if err == nil {
		_, err = setting.WriteString(strconv.Itoa(most))
		err = errors.Join(err, setting.Close())
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EROFS) {
		return nil
	}
	return err
}
