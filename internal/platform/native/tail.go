//go:build linux

package native

import (
	"strings"
	"sync"
)

// tailBytes is how much of what the parts of a bottle write to standard error
// is kept for errors.
const tailBytes = 4 << 10

// tail keeps the last bytes written.
type tail struct {
	mu   sync.Mutex // guards data
	data []byte
}

func (t *tail) Write(data []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, data...)
	t.data = t.data[max(0, len(t.data)-tailBytes):]
	return len(data), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.data))
}
