//go:build linux

package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"claude-bottle/test/search"
)

// largest is how much of a file is looked at, in bytes.
const largest = 1 << 28

// searcher looks, and counts what it has looked at.
type searcher struct {
	texts []string
	set   *search.Set // of the texts, and then of own
	own   string
	since int64
	out   io.Writer

	seen                                 map[string]bool // where own was
	processes, memory, files, unreadable int
}

func newSearcher(texts []string, since int64, out io.Writer) *searcher {
	own := strings.ToLower(rand.Text())
	return &searcher{texts: texts, set: search.NewSet(append(slices.Clip(texts), own)), own: own, since: since, out: out, seen: map[string]bool{}}
}

// everywhere looks at everything and says what it has found.
func (s *searcher) everywhere() error {
	began := time.Now()
	end, err := planted(s.own)
	if err != nil {
		return fmt.Errorf("plant a text: %w", err)
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if pid, err := strconv.Atoi(entry.Name()); err == nil && pid != os.Getpid() {
			s.process(pid)
		}
	}
	for _, path := range []string{"/proc/keys", "/proc/key-users", "/proc/self/environ", "/proc/self/cmdline", "/proc/cmdline"} {
		if _, err := os.Stat(path); err == nil {
			s.file(path, "kernel "+path)
		}
	}
	s.tree()
	fmt.Fprintln(s.out, "seen:", strings.Join(slices.Sorted(maps.Keys(s.seen)), " "))
	fmt.Fprintf(s.out, "searched: %d processes, %d with their memory, %d files, %d unreadable, %v\n",
		s.processes, s.memory, s.files, s.unreadable, time.Since(began).Round(time.Millisecond))
	return end()
}

// found is said of text i, or noted of the program's own.
func (s *searcher) found(i int, where string) {
	if i == len(s.texts) {
		what, _, _ := strings.Cut(where, " ")
		s.seen[what] = true
		return
	}
	fmt.Fprintln(s.out, "found: text", i, "in", where)
}

func (s *searcher) file(path, where string) {
	if err := s.set.InFile(path, largest, func(i int) { s.found(i, where) }); errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		s.unreadable++
	}
}

func (s *searcher) link(path string) {
	to, err := os.Readlink(path)
	if err != nil {
		s.unreadable++
		return
	}
	s.set.In([]byte(to), func(i int) { s.found(i, "link "+path) })
}

func (s *searcher) process(pid int) {
	s.processes++
	dir := fmt.Sprintf("/proc/%d", pid)
	for _, name := range []string{"environ", "cmdline", "comm", "status", "mountinfo"} {
		s.file(dir+"/"+name, fmt.Sprintf("%s of %d", name, pid))
	}
	descriptors, err := os.ReadDir(dir + "/fd")
	if err != nil {
		s.unreadable++
	}
	for _, fd := range descriptors {
		path := dir + "/fd/" + fd.Name()
		s.link(path)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			s.file(path, "descriptor "+path)
		}
	}
	readable := func(a search.Area) bool { return a.Mode[0] == 'r' }
	if err := s.set.InMemory(pid, readable, func(i int) { s.found(i, fmt.Sprintf("memory of %d", pid)) }); err != nil {
		s.unreadable++
		return
	}
	s.memory++
}

// tree looks at every name, and at every file that has changed since the bottle
// was made.
func (s *searcher) tree() {
	others := []string{"/proc", "/sys", "/dev/pts"}
	_ = filepath.WalkDir("/", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be read is no loss
		}
		if entry.IsDir() && slices.Contains(others, path) {
			return fs.SkipDir
		}
		if entry.Type()&fs.ModeSymlink != 0 {
			s.link(path)
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			return nil //nolint:nilerr // it is gone
		}
		if stat, is := info.Sys().(*syscall.Stat_t); !is || int64(stat.Ctim.Sec) >= s.since {
			s.files++
			s.file(path, "file "+path)
		}
		return nil
	})
}
