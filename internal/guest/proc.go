//go:build linux

package guest

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// running is a process as /proc tells it.
type running struct{ pid, parent, session int }

// processes lists those that /proc shows. What cannot be read has ended.
func processes() []running {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []running
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + name + "/stat")
		if err != nil {
			continue
		}
		if parent, session, ok := parseStat(stat); ok {
			all = append(all, running{pid, parent, session})
		}
	}
	return all
}

// parseStat reads a line of proc_pid_stat(5). The name in it is the
// process's own choice and may hold anything, so it is skipped from behind.
func parseStat(stat []byte) (parent, session int, ok bool) {
	end := bytes.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, 0, false
	}
	fields := bytes.Fields(stat[end+1:]) // state, ppid, pgrp, session, ...
	if len(fields) < 4 {
		return 0, 0, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	if err != nil {
		return 0, 0, false
	}
	session, err = strconv.Atoi(string(fields[3]))
	return parent, session, err == nil
}

// patience bounds killAll against something that forks faster than it dies.
const patience = 5 * time.Second

// killAll ends every other process inside. For process 1 that is one call,
// and the kernel ends what is left when it exits. A guest that is not process
// 1 is a subreaper: all that it started, whoever forked it, hangs below it.
func killAll(reap func()) {
	if os.Getpid() == 1 {
		_ = unix.Kill(-1, unix.SIGKILL)
		return
	}
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); time.Now().Before(end); <-again.C {
		below := descendants(os.Getpid())
		if len(below) == 0 {
			return
		}
		for _, pid := range below {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		reap()
	}
}

func descendants(root int) []int {
	children := map[int][]int{}
	for _, p := range processes() {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	var below []int
	for next := []int{root}; len(next) > 0; next = next[1:] {
		below = append(below, children[next[0]]...)
		next = append(next, children[next[0]]...)
	}
	return below
}
