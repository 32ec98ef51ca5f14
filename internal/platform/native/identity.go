//go:build linux

package native

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// identity is one process for good: a number is given again, but not to another
// that started at the same tick of the same boot.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // ticks since the boot, proc_pid_stat(5)
	Boot  string `json:"boot"`  // /proc/sys/kernel/random/boot_id
}

// identify says who has a number now.
func identify(pid int) (identity, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return identity{}, err
	}
	stat, err := readStat(pid)
	if err != nil {
		return identity{}, err
	}
	return identity{PID: pid, Start: stat.start, Boot: strings.TrimSpace(string(boot))}, nil
}

// stat is what of proc_pid_stat(5) is used here.
type stat struct {
	state  byte
	parent int
	start  uint64
}

func readStat(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The second field is a name of the process's own choice, in brackets.
	end := bytes.LastIndexByte(text, ')')
	if end < 0 {
		return stat{}, fmt.Errorf("/proc/%d/stat: no name", pid)
	}
	fields := strings.Fields(string(text[end+1:])) // from the third on
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(fields))
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return stat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	if err != nil {
		return stat{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	return stat{fields[0][0], parent, start}, nil
}

// alive says whether the process runs.
func (i identity) alive() bool {
	if i.PID == 0 {
		return false
	}
	now, err := identify(i.PID)
	if err != nil || now != i {
		return false
	}
	stat, err := readStat(i.PID)
	return err == nil && stat.state != 'Z' && stat.state != 'X'
}

// open returns a descriptor of the process (pidfd_open(2)), which means it
// alone; -1 when it has ended.
func (i identity) open() (int, error) {
	if i.PID == 0 {
		return -1, nil
	}
	fd, err := unix.PidfdOpen(i.PID, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("open process %d: %w", i.PID, err)
	}
	if !i.alive() { // after the open: what the descriptor means does not change
		_ = unix.Close(fd)
		return -1, nil
	}
	return fd, nil
}

// await waits until the process of a descriptor has ended, and with a process 1
// everything in its namespace.
func await(ctx context.Context, fd int) error {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}} //nolint:gosec // G115: a descriptor
	for ctx.Err() == nil {
		n, err := unix.Poll(poll, 100)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
	return ctx.Err()
}
