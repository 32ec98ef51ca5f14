package idle

import (
	"bufio"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Release gives back the heap's free pages, and lets go of the pages of the
// program's file: they stay in the system's cache, and those that are needed
// again come back from there by themselves, many at a time. Most of what a
// process of one large binary has resident is code and tables of its start.
//
// It takes about a millisecond, and the next work begins with as many page
// faults as it has code in some 64 KiB each.
func Release() {
	debug.FreeOSMemory()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return // not without /proc
	}
	defer f.Close()
	for _, m := range unchanged(f) {
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, m.start, m.end-m.start, unix.MADV_DONTNEED) // it stays as it is, then
	}
}

// mapping is a range of addresses.
type mapping struct{ start, end uintptr }

// unchanged are the mappings in an smaps (proc(5)) that are of a file, may not
// be written to and hold no page that was: what is let go of there is in the
// file as it is in memory. Tables that a loader had to relocate are not.
func unchanged(smaps io.Reader) (found []mapping) {
	var current mapping
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) >= 5 && !strings.HasSuffix(words[0], ":"): // address perms offset dev inode
			current = mapping{}
			if strings.Contains(words[1], "w") || words[4] == "0" {
				continue
			}
			current, _ = parseMapping(words[0])
		case len(words) >= 2 && words[0] == "Anonymous:" && words[1] == "0" && current != mapping{}:
			found = append(found, current)
		}
	}
	return found
}

// parseMapping reads START-END, in hexadecimal.
func parseMapping(text string) (m mapping, ok bool) {
	from, to, _ := strings.Cut(text, "-")
	start, err1 := strconv.ParseUint(from, 16, strconv.IntSize)
	end, err2 := strconv.ParseUint(to, 16, strconv.IntSize)
	if err1 != nil || err2 != nil || end <= start {
		return mapping{}, false
	}
	return mapping{uintptr(start), uintptr(end)}, true
}
