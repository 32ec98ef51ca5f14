//go:build linux

package guest

import (
	"os"
	"strconv"
	"strings"
)

// first has what a guest starts, and all that comes of it, killed before others
// when memory runs out, of the bottle or of the host (proc_pid_oom_score_adj(5)):
// before the guest, whose end would be the bottle's, and before the person's
// own programs. Where the kernel does not let us, the largest process goes
// first. The zero value does nothing.
type first struct {
	file        *os.File // of the guest; nobody of its uid can open it later
	own, theirs string
}

// firstStep is how much more likely to be killed than the guest: as if a
// process had half of all memory beside what it has.
const firstStep, firstMost = 500, 1000

// openFirst must come before the guest is not dumpable any more, which takes
// its files in /proc away from it.
func openFirst() first {
	file, err := os.OpenFile("/proc/self/oom_score_adj", os.O_RDWR, 0)
	if err != nil {
		return first{}
	}
	text := make([]byte, 16)
	n, _ := file.Read(text)
	own, err := strconv.Atoi(strings.TrimSpace(string(text[:n])))
	if err != nil {
		_ = file.Close()
		return first{}
	}
	return first{file, strconv.Itoa(own), strconv.Itoa(min(own+firstStep, firstMost))}
}

// during starts something that inherits what is set meanwhile. Only one may go
// on at a time.
func (f first) during(start func()) {
	if f.file == nil {
		start()
		return
	}
	_, _ = f.file.WriteString(f.theirs)
	start()
	_, _ = f.file.WriteString(f.own)
}
