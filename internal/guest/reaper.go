//go:build linux

package guest

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// reaper starts processes and waits for all there are, its own and the
// orphans that the kernel gives to process 1.
//
// One wait4(-1) takes every death, so nothing else may wait. Starting,
// reaping and signalling exclude each other: a process that dies at once is
// registered before it can be reaped, and a signal never goes to a number
// that was reaped and given away again.
type reaper struct {
	mu       sync.Mutex // guards children, what the kernel calls whom, and first
	children map[int]*child
	first    first
}

// child is one process that the reaper started.
type child struct {
	reaper *reaper
	pid    int
	done   chan struct{} // closed once status is set
	status syscall.WaitStatus
}

func newReaper() *reaper { return &reaper{children: map[int]*child{}} }

// start runs path. Errors are those of fork and exec.
func (r *reaper) start(path string, argv []string, attr *syscall.ProcAttr) (*child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var pid int
	var err error
	r.first.during(func() { pid, err = syscall.ForkExec(path, argv, attr) })
	if err != nil {
		return nil, err
	}
	c := &child{reaper: r, pid: pid, done: make(chan struct{})}
	r.children[pid] = c
	return c, nil
}

// run reaps on every token of died, which SIGCHLD sends, until that closes.
// Tokens may be lost as long as one comes after the last death: each reaps
// all there is.
func (r *reaper) run(died <-chan os.Signal) {
	r.reap()
	for range died {
		r.reap()
	}
}

func (r *reaper) reap() {
	for r.reapOne() {
	}
}

func (r *reaper) reapOne() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.EINTR) {
		return true
	}
	if err != nil || pid <= 0 {
		return false
	}
	if c := r.children[pid]; c != nil {
		delete(r.children, pid)
		c.status = status
		close(c.done)
	}
	return true
}

// signal sends to the process group that the child leads, or to group when
// that is another one of its session. After the child's death it does nothing:
// the number may be somebody else's.
func (c *child) signal(group int, signal syscall.Signal) {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.children[c.pid] != c {
		return
	}
	if group <= 1 {
		group = c.pid
	}
	_ = unix.Kill(-group, signal)
}

// killSession ends every process of the session that the child leads, unless
// the child is dead already.
func (c *child) killSession() {
	c.reaper.mu.Lock()
	defer c.reaper.mu.Unlock()
	if c.reaper.children[c.pid] != c {
		return
	}
	for _, p := range processes() {
		if p.session == c.pid {
			_ = unix.Kill(p.pid, unix.SIGKILL)
		}
	}
	_ = unix.Kill(-c.pid, unix.SIGKILL)
}

// code is how the child ended, as shells say it.
func (c *child) code() int {
	if c.status.Signaled() {
		return 128 + int(c.status.Signal())
	}
	return c.status.ExitStatus()
}
