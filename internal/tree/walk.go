package tree

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
)

// ErrTooMany says that a tree has more entries than a walk's Limit.
var ErrTooMany = errors.New("too many files")

// A walk keeps the first and the last directories of its way down open; those
// between are opened again, by "..", on the way back.
const (
	keepFirst = 16
	keepLast  = 48
)

// Entry is something in a tree. Its name and path are a bottle's bytes: to be
// escaped before a person sees them.
type Entry struct {
	Name string
	// Path is relative to the walk's start, for a Walk with Paths; "" where
	// it would be longer than PathMax.
	Path string
	Stat unix.Stat_t
}

// Walk describes a walk through a tree that may change meanwhile. A function
// that returns an error ends it with that error.
type Walk struct {
	// Enter is called for everything below the start, a directory before
	// what is in it; fd is the directory it is in. For a directory, false
	// leaves out what is in it.
	Enter func(fd int, entry Entry) (bool, error)
	// Leave, when not nil, is called for a directory after what is in it.
	Leave func(fd int, name string) error
	// Fault, when not nil, is called for what cannot be read; what vanished
	// meanwhile is no fault. Without it faults are counted alone.
	Fault func(name string, err error) error
	// Paths asks for Entry.Path.
	Paths bool
	// Limit ends the walk with ErrTooMany after so many entries; 0 means none.
	Limit int
	// Unlock makes directories readable that deny it to their owner.
	Unlock bool
}

// Result says how far a walk came.
type Result struct {
	Entries int
	// Faults counts entries that could not be read, and directories that
	// were moved away while the walk was below them: what is in those is not
	// accounted for.
	Faults int
}

// Run walks the tree below fd, which stays open and is moved in.
func (w Walk) Run(ctx context.Context, fd int) (Result, error) {
	s := &state{Walk: w, ctx: ctx, buffer: make([]byte, batch)}
	defer s.close()
	top, err := OpenDir(fd, "")
	if err != nil {
		return s.result, err
	}
	if err := s.push(top, ""); err != nil {
		return s.result, err
	}
	for len(s.way) > 0 {
		if err := s.step(); err != nil {
			return s.result, err
		}
	}
	return s.result, nil
}

// frame is a directory on the way down.
type frame struct {
	fd       int // -1 while it is closed to bound the number of descriptors
	dev, ino uint64
	next     int64 // where reading goes on, when fd is -1
	ended    bool  // all names were read
	name     string
	dirs     []string // of the last batch, still to be walked
	path     int      // length of its path with a trailing slash
}

type state struct {
	Walk
	ctx    context.Context
	way    []frame
	path   []byte
	buffer []byte
	result Result
}

func (s *state) close() {
	for i := range s.way {
		if s.way[i].fd >= 0 {
			_ = unix.Close(s.way[i].fd)
		}
	}
}

func (s *state) step() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	top := &s.way[len(s.way)-1]
	if n := len(top.dirs); n > 0 {
		name := top.dirs[n-1]
		top.dirs = top.dirs[:n-1]
		return s.down(top.fd, name)
	}
	if top.ended {
		return s.up()
	}
	found, err := names(top.fd, s.buffer)
	if err != nil {
		top.ended = true
		return s.fault(top.name, err)
	}
	top.ended = len(found) == 0
	for _, name := range found {
		if err := s.enter(top, name); err != nil {
			return err
		}
	}
	return nil
}

func (s *state) enter(dir *frame, name string) error {
	if s.result.Entries++; s.Limit > 0 && s.result.Entries > s.Limit {
		return ErrTooMany
	}
	stat, err := Stat(dir.fd, name)
	if err != nil {
		return s.fault(name, err)
	}
	entry := Entry{Name: name, Stat: stat}
	if s.Paths && dir.path+len(name) <= PathMax {
		entry.Path = string(s.path[:dir.path]) + name
	}
	inside, err := s.Enter(dir.fd, entry)
	if err == nil && inside && IsDir(&stat) {
		dir.dirs = append(dir.dirs, name)
	}
	return err
}

// fault counts what could not be read and goes on, unless Fault says not to.
func (s *state) fault(name string, err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	s.result.Faults++
	if s.Fault == nil {
		return nil
	}
	return s.Fault(name, failure("read", name, err))
}

func (s *state) down(fd int, name string) error {
	if s.Unlock {
		if stat, err := Stat(fd, name); err == nil && IsDir(&stat) && stat.Mode&0o700 != 0o700 {
			_ = unlock(fd, name) // opening it tells why not
		}
	}
	dir, err := openChild(fd, name)
	if err != nil {
		return s.fault(name, err)
	}
	return s.push(dir, name)
}

func (s *state) push(dir int, name string) error {
	f := frame{fd: dir, name: name}
	var stat unix.Stat_t
	if err := unix.Fstat(dir, &stat); err != nil {
		_ = unix.Close(dir)
		return s.fault(name, err)
	}
	f.dev, f.ino = uint64(stat.Dev), stat.Ino //nolint:unconvert // int32 on some systems
	if n := len(s.way); s.Paths && n > 0 {
		above := s.way[n-1].path
		if f.path = above + len(name) + 1; f.path <= PathMax {
			s.path = append(append(s.path[:above], name...), '/')
		}
	}
	s.way = append(s.way, f)
	if old := len(s.way) - 1 - keepLast; old >= keepFirst {
		s.rest(&s.way[old])
	}
	return nil
}

// rest closes a directory until the walk comes back to it.
func (s *state) rest(f *frame) {
	at, err := unix.Seek(f.fd, 0, unix.SEEK_CUR)
	if err != nil {
		return
	}
	_ = unix.Close(f.fd)
	f.fd, f.next = -1, at
}

// up leaves the last directory of the way. Its parent may have to be opened
// again; when it is not the parent any more, the walk goes on in the nearest
// directory above that it still holds.
func (s *state) up() error {
	last := s.way[len(s.way)-1]
	s.way = s.way[:len(s.way)-1]
	defer func() { _ = unix.Close(last.fd) }()
	if len(s.way) == 0 {
		return nil
	}
	parent := &s.way[len(s.way)-1]
	if parent.fd < 0 && !wake(parent, last.fd) {
		s.result.Faults++
		for s.way[len(s.way)-1].fd < 0 {
			s.way = s.way[:len(s.way)-1]
		}
		return nil
	}
	if s.Leave == nil {
		return nil
	}
	return s.Leave(parent.fd, last.name)
}

// wake opens a resting directory through its child and checks that it is the
// same one: a bottle may have moved the child elsewhere.
func wake(f *frame, child int) bool {
	dir, err := openAt(child, "..", openDir)
	if err != nil {
		return false
	}
	var stat unix.Stat_t
	err = unix.Fstat(dir, &stat)
	if err != nil || uint64(stat.Dev) != f.dev || stat.Ino != f.ino { //nolint:unconvert // as in push
		_ = unix.Close(dir)
		return false
	}
	if _, err := unix.Seek(dir, f.next, unix.SEEK_SET); err != nil {
		_ = unix.Close(dir)
		return false
	}
	f.fd = dir
	return true
}
