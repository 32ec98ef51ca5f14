package workspace

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

// worker copies job after job.
type worker struct {
	*crew
	ctx    context.Context
	buffer []byte
	added  Report // since the crew was last told
}

func (w *worker) run() error {
	for {
		j, ok := w.pop()
		if !ok {
			return nil
		}
		if err := w.do(j); err != nil {
			return err
		}
	}
}

// place is one name in a directory of both trees.
type place struct {
	src, dst int // descriptors of the directories
	name     string
	path     string // below the top, for the report
	stat     unix.Stat_t
}

func (p *place) failure(op string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: p.path, Err: err}
}

func (w *worker) do(j job) error {
	defer w.finished()
	if err := w.directory(j); err != nil {
		return err
	}
	w.count(w.added)
	w.added = Report{}
	for _, dir := range w.done(j.dir) {
		if err := w.seal(dir); err != nil {
			return err
		}
	}
	return nil
}

// directory copies the names of a job.
func (w *worker) directory(j job) error {
	src, err := tree.OpenDir(w.src, j.dir.path)
	if err != nil {
		return w.unread(j.dir.path, err)
	}
	defer func() { _ = unix.Close(src) }()
	dst, err := tree.OpenDir(w.dst, j.dir.path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(dst) }()
	if j.names == nil {
		all, err := tree.Names(src)
		if err != nil {
			return w.unread(j.dir.path, err)
		}
		j.names = all
		for len(j.names) > chunk {
			w.push(job{j.dir, j.names[:chunk]})
			j.names = j.names[chunk:]
		}
	}
	for _, name := range j.names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		p := place{src: src, dst: dst, name: name, path: path.Join(j.dir.path, name)}
		if err := w.entry(j.dir, &p); err != nil {
			return err
		}
	}
	return nil
}

// unread notes what the source does not let us read and goes on; it fails
// where the cause is ours.
func (w *worker) unread(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT): // it vanished: so be it
		return nil
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE), errors.Is(err, unix.ENOMEM):
		return &fs.PathError{Op: "read", Path: path, Err: err}
	case errors.Is(err, unix.ENAMETOOLONG):
		w.note(path, TooLong)
	default:
		w.note(path, Unreadable)
	}
	return nil
}

func (w *worker) entry(dir *node, p *place) (err error) {
	if w.skip != nil && w.skip(p.path) {
		return nil
	}
	if len(p.path) > tree.PathMax {
		w.note(p.path, TooLong)
		return nil
	}
	if p.stat, err = tree.Stat(p.src, p.name); err != nil {
		return w.unread(p.path, err)
	}
	switch p.stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return w.file(p)
	case unix.S_IFDIR:
		return w.subdirectory(dir, p)
	case unix.S_IFLNK:
		return w.link(p)
	case unix.S_IFSOCK:
		w.note(p.path, Socket)
	case unix.S_IFIFO:
		w.note(p.path, FIFO)
	case unix.S_IFCHR, unix.S_IFBLK:
		w.note(p.path, Device)
	default:
		w.note(p.path, Unknown)
	}
	return nil
}

func (w *worker) subdirectory(dir *node, p *place) error {
	// Its mode comes when it is complete; until then nobody else looks in.
	if err := unix.Mkdirat(p.dst, p.name, 0o700); err != nil {
		return p.failure("mkdir", err)
	}
	w.added.Dirs++
	w.push(job{dir: &node{path: p.path, parent: dir, stat: p.stat}})
	return nil
}

// seal gives a complete directory its owner, mode and times. The top stays as
// it was made, closed to others: it is in a run's directory, not in a project.
func (w *worker) seal(dir *node) error {
	if dir.path == "" {
		return nil
	}
	fd, err := tree.OpenDir(w.dst, dir.path)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	// Times before mode: the mode may not let us at "." any more.
	if err := setTimes(fd, ".", &dir.stat); err != nil {
		return &fs.PathError{Op: "set the time of", Path: dir.path, Err: err}
	}
	if err := tree.Give(fd, fs.FileMode(dir.stat.Mode).Perm(), w.owner); err != nil {
		return &fs.PathError{Op: "chmod", Path: dir.path, Err: err}
	}
	return nil
}

func (w *worker) link(p *place) error {
	target, err := readlink(p)
	if err != nil {
		return w.unread(p.path, err)
	}
	if leadsOut(p.path, target) {
		w.note(p.path, LinkOut)
	}
	if err := unix.Symlinkat(target, p.dst, p.name); err != nil {
		return p.failure("symlink", err)
	}
	w.added.Links++
	if w.foreign() {
		err := unix.Fchownat(p.dst, p.name, w.owner.UID, w.owner.GID, unix.AT_SYMLINK_NOFOLLOW)
		if err != nil {
			return p.failure("chown", err)
		}
	}
	return p.failure("set the time of", setTimes(p.dst, p.name, &p.stat))
}

func readlink(p *place) (string, error) {
	buffer := make([]byte, tree.PathMax+1)
	n, err := unix.Readlinkat(p.src, p.name, buffer)
	if err != nil {
		return "", err
	}
	return string(buffer[:n]), nil
}

// leadsOut says whether a link leads out of the tree, by its text alone: what
// other links on its way would make of it is not looked at.
func leadsOut(link, target string) bool {
	if strings.HasPrefix(target, "/") {
		return true
	}
	end := path.Join(path.Dir(link), target)
	return end == ".." || strings.HasPrefix(end, "../")
}

// foreign says whether the copies belong to somebody else than this process.
func (w *worker) foreign() bool {
	return w.owner.UID != unix.Geteuid() || w.owner.GID != unix.Getegid()
}

// setTimes gives name in fd the times of stat.
func setTimes(fd int, name string, stat *unix.Stat_t) error {
	accessed, modified := times(stat)
	return unix.UtimesNanoAt(fd, name, []unix.Timespec{accessed, modified}, unix.AT_SYMLINK_NOFOLLOW)
}
