//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package term

import "golang.org/x/sys/unix"

// Requests of ioctl for a terminal's settings: set waits for output and keeps
// input.
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETAW
)

// dropInput throws away what was typed and not read.
func dropInput(fd int) error {
	const inputQueue = 1 // FREAD of tty(4)
	return unix.IoctlSetPointerInt(fd, unix.TIOCFLUSH, inputQueue)
}
