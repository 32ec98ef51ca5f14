package term

import "golang.org/x/sys/unix"

// Requests of ioctl for a terminal's settings, tty_ioctl(4): set waits for
// output and keeps input.
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETSW
)
