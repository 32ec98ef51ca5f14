//go:build linux

package guest

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/wire"
)

// openTerminal makes a pseudo-terminal, pty(7). Our end is the runtime
// poller's, so that a read of it can be given up; the process's end blocks,
// as every program expects. (The pty package that tests use takes
// descriptors out of the poller.)
func openTerminal(size wire.Size) (*ends, error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	ours := os.NewFile(uintptr(fd), "terminal")
	theirs, err := otherEnd(fd)
	if err == nil {
		err = setSize(ours, size)
	}
	if err != nil {
		closeAll(ours, theirs)
		return nil, fmt.Errorf("make a terminal: %w", err)
	}
	return &ends{theirs: [3]*os.File{theirs, theirs, theirs}, stdin: ours, stdout: ours, terminal: true}, nil
}

// otherEnd opens the end that the process gets.
func otherEnd(fd int) (*os.File, error) {
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("unlock: %w", err)
	}
	number, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("ask for its number: %w", err)
	}
	name := "/dev/pts/" + strconv.FormatUint(uint64(number), 10)
	theirs, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return os.NewFile(uintptr(theirs), name), nil
}

func setSize(terminal *os.File, size wire.Size) error {
	return control(terminal, func(fd int) error {
		return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: size.Rows, Col: size.Cols})
	})
}
