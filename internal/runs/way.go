package runs

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"claude-bottle/internal/hint"
)

// maxLinks is how many links a path may lead over, as for the kernel.
const maxLinks = 40

// way refuses a path that somebody else can lead elsewhere: what a bottle is made
// of is named by it, to bubblewrap and to engines, and so is the program that
// makes it. It goes as the kernel does, over every link. On it may be no directory
// in which others can change names, and no link of theirs: of a directory that
// everybody may write to, such as /tmp, the sticky bit keeps others from moving
// what is not theirs, but not from turning their own link elsewhere
// (TestLinkOfSomebodyElse).
func way(path string) error {
	at, rest := "/", steps(path)
	for links := 0; len(rest) > 0; {
		if err := closed(at, path); err != nil {
			return err
		}
		step := rest[0]
		rest = rest[1:]
		if step == ".." {
			at = filepath.Dir(at)
			continue
		}
		next := filepath.Join(at, step)
		var stat unix.Stat_t
		if err := unix.Lstat(next, &stat); err != nil {
			return &fs.PathError{Op: "stat", Path: next, Err: err}
		}
		if stat.Mode&unix.S_IFMT != unix.S_IFLNK {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return &fs.PathError{Op: "stat", Path: path, Err: unix.ELOOP}
		}
		if !trusted(&stat) {
			return hint.With(fmt.Errorf("%s: uid %d can put something else in its place, by the link %s", path, stat.Uid, next),
				"set XDG_STATE_HOME to a directory in your home")
		}
		target, err := os.Readlink(next)
		if err != nil {
			return err
		}
		if filepath.IsAbs(target) {
			at = "/"
		}
		rest = append(steps(target), rest...)
	}
	return nil
}

// steps are the names in a path. They are taken one after the other, since ".."
// behind a link is another directory than before it.
func steps(path string) []string {
	return strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
}

// trusted says that what stat is of belongs to us, or to root.
func trusted(stat *unix.Stat_t) bool { return stat.Uid == 0 || int(stat.Uid) == os.Geteuid() }

// closed refuses a directory in which others can put something in the place of
// what path leads to.
func closed(dir, path string) error {
	var stat unix.Stat_t
	if err := unix.Stat(dir, &stat); err != nil {
		return &fs.PathError{Op: "stat", Path: dir, Err: err}
	}
	group := stat.Mode&0o020 != 0 && stat.Gid != 0 && int(stat.Gid) != os.Getegid()
	if trusted(&stat) && (stat.Mode&unix.S_ISVTX != 0 || !group && stat.Mode&0o002 == 0) {
		return nil
	}
	return hint.With(fmt.Errorf("%s: others can put something else in its place, by %s", path, dir),
		"take the right to write to "+dir+" from others (chmod go-w), or set XDG_STATE_HOME to a directory in your home")
}
