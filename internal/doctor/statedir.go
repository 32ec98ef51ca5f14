package doctor

import (
	"fmt"
	"io/fs"
	"strings"
)

// StateDir is what was seen of the state directory.
type StateDir struct {
	Path string
	// Problem says why it could not be looked at.
	Problem string
	// Missing says that it will be made with the first run; what follows is
	// then of the directory that it will be made in.
	Missing bool
	Near    string // where this was seen
	Mode    fs.FileMode
	Owner   int
	UID     int // the person's
	// Writable says that the person may write there.
	Writable bool
	ReadOnly bool // the file system
	NoExec   bool // the file system, and so our program in bottles
	Free     uint64
	Files    uint64 // that may still be made
	// FilesCounted is false where the file system does not count them.
	FilesCounted bool
}

// Space below which a person should know, and no bottle works.
const (
	lowSpace = 2 << 30
	noSpace  = 64 << 20
	lowFiles = 20_000
)

// JudgeStateDir is about where runs are kept.
func JudgeStateDir(s StateDir) Check {
	check := Check{Name: "state directory", State: OK}
	fail := func(mend, format string, args ...any) Check {
		return Check{Name: check.Name, State: Fail, Detail: fmt.Sprintf(format, args...), Mend: mend}
	}
	const elsewhere = "export XDG_STATE_HOME=/a/directory/of/yours"
	switch {
	case s.Problem != "":
		return fail(elsewhere, "%s", s.Problem)
	case !s.Missing && s.Owner != s.UID:
		return fail(elsewhere, "%s belongs to uid %d, not to you (uid %d)", s.Path, s.Owner, s.UID)
	case s.ReadOnly:
		return fail(elsewhere, "%s is on a file system that is mounted read-only", s.Near)
	case !s.Writable:
		return fail(elsewhere, "%s: you may not write there", s.Near)
	case s.NoExec:
		return fail(elsewhere, "%s is on a file system that is mounted noexec: no bottle could run our program from there", s.Near)
	case s.Free < noSpace:
		return fail("claude-bottle cleanup", "%s: the disk is full (%s free)", s.Near, size(s.Free))
	}
	check.Detail = fmt.Sprintf("%s, %s free", s.Path, size(s.Free))
	if s.Missing {
		check.Detail = fmt.Sprintf("%s will be made with the first run, %s free", s.Path, size(s.Free))
	}
	var mends []string
	if s.Free < lowSpace || s.FilesCounted && s.Files < lowFiles {
		check.State = Warn
		check.Notes = append(check.Notes, "little is left for the copies of projects")
		mends = append(mends, "claude-bottle cleanup")
	}
	if open := s.Mode.Perm() & 0o022; !s.Missing && open != 0 {
		check.State = Warn
		check.Notes = append(check.Notes, fmt.Sprintf("its mode is %04o: others may write to it", s.Mode.Perm()))
		mends = append(mends, "chmod go-w "+quoted(s.Path))
	}
	check.Mend = strings.Join(mends, " && ")
	return check
}

// size is n in binary units.
func size(n uint64) string {
	const unit = 1024
	value, prefix := float64(n)/(unit*unit), 0
	for value >= unit && prefix < 3 {
		value, prefix = value/unit, prefix+1
	}
	return fmt.Sprintf("%.1f %ciB", value, "MGTP"[prefix])
}
