//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package term

import "golang.org/x/sys/unix"

// Requests of ioctl for a terminal's settings: set waits for output and keeps
// input.
const (
	getTermios = unix.TIOCGETA
	setTermios = unix.TIOCSETAW
)
