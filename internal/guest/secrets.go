//go:build linux

package guest

import (
	"runtime"
	"runtime/debug"
	"sync"
	"time"
	"unsafe"
)

// secrets are the boot frame's, until the first process that asked for them
// has started.
type secrets struct {
	mu     sync.Mutex // guards what follows
	env    []string
	handed bool
}

// newSecrets takes ownership of env: nobody else may hold its strings.
func newSecrets(env []string) *secrets { return &secrets{env: env} }

// hand calls start with the secrets, and forgets them if it succeeds; start
// returns the environment that the process got. Hand returns false, and calls
// nothing, when they are forgotten already.
func (s *secrets) hand(start func(env []string) ([]string, error)) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handed {
		return false, nil
	}
	given, err := start(s.env)
	if err != nil {
		return true, err
	}
	s.handed = true
	if len(s.env) == 0 { // what its start needed is given back when there is time
		time.AfterFunc(rest, debug.FreeOSMemory)
		return true, nil
	}
	block := 0 // the size of what execve(2) was given, in bytes
	for _, entry := range given {
		block += len(entry) + 1
	}
	for _, entry := range s.env {
		wipe(entry)
	}
	clear(s.env)
	s.env = nil
	scrub(block)
	return true, nil
}

// rest is how long after the harness a guest that has nothing to scrub gives
// memory back: at once, it would keep a short harness's end waiting for it.
const rest = time.Second

// fillers is more than the free places of one size that the small heap of a
// guest has.
const fillers = 256

// scrub overwrites the garbage of size bytes that syscall.ForkExec leaves
// behind: it copies the environment into one block and only drops it. The
// pages that the collector finds empty go back to the kernel; of those that
// the block shares with something alive, a filler takes its place, zeroed.
// TestSecretsAreForgotten reads the memory.
func scrub(size int) {
	debug.FreeOSMemory()
	keep := make([][]byte, 0, fillers)
	for size <= 32<<10 && len(keep) < cap(keep) { // a larger one had pages of its own
		keep = append(keep, make([]byte, size))
	}
	runtime.KeepAlive(keep)
}

// wipe overwrites a string that nobody reads any more. It must not be a
// constant; those of a boot frame are on the heap.
func wipe(s string) {
	if s != "" {
		clear(unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // G103: the one way to overwrite it
	}
}
