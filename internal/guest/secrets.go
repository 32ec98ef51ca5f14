//go:build linux

package guest

import (
	"runtime/debug"
	"sync"
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

// hand calls start with the secrets, and forgets them if it succeeds. It
// returns false, and calls nothing, when they are forgotten already.
func (s *secrets) hand(start func(env []string) error) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handed {
		return false, nil
	}
	if err := start(s.env); err != nil {
		return true, err
	}
	s.handed = true
	for _, entry := range s.env {
		wipe(entry)
	}
	clear(s.env)
	s.env = nil
	// fork and exec made copies of their own, which are garbage by now. This
	// gives their pages back to the kernel. TestSecretsAreForgotten.
	debug.FreeOSMemory()
	return true, nil
}

// wipe overwrites a string that nobody reads any more. It must not be a
// constant; those of a boot frame are on the heap.
func wipe(s string) {
	if s != "" {
		clear(unsafe.Slice(unsafe.StringData(s), len(s))) //nolint:gosec // G103: the one way to overwrite it
	}
}
