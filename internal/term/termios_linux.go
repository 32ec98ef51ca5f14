package term

import "golang.org/x/sys/unix"

// Requests of ioctl for a terminal's settings, tty_ioctl(4): set waits for
// output and keeps input.
const (
	getTermios = unix.TCGETS
	setTermios = unix.TCSETSW
)

// dropInput throws away what was typed and not read.
func dropInput(fd int) error { return unix.IoctlSetInt(fd, unix.TCFLSH, unix.TCIFLUSH) }
