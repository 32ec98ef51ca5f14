//go:build linux

package guest

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// End asks everything inside to end, as a person who stops the bottle wants it
// to: it is a process of the guest's, and all others of the guest's get SIGTERM.
// What does not end is killed with the bottle.
func End() error {
	var failed error
	for _, pid := range descendants(os.Getppid()) {
		if pid == os.Getpid() {
			continue
		}
		if err := unix.Kill(pid, unix.SIGTERM); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}
