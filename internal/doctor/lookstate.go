package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// LookAtStateDir looks at the state directory, or where it will be made, and
// leaves it as it is.
func LookAtStateDir(path string, uid int) StateDir {
	s := StateDir{Path: path, Near: path, UID: uid}
	for {
		info, err := os.Stat(s.Near)
		if err == nil {
			if !info.IsDir() {
				s.Problem = s.Near + " is not a directory"
				return s
			}
			s.Mode = info.Mode()
			break
		}
		parent := filepath.Dir(s.Near)
		if !errors.Is(err, fs.ErrNotExist) || parent == s.Near {
			s.Problem = err.Error()
			return s
		}
		s.Missing, s.Near = true, parent
	}
	var stat unix.Stat_t
	if err := unix.Stat(s.Near, &stat); err != nil {
		s.Problem = s.Near + ": " + err.Error()
		return s
	}
	s.Owner = int(stat.Uid)
	s.Writable = unix.Access(s.Near, unix.W_OK|unix.X_OK) == nil
	if err := s.lookAtFileSystem(); err != nil {
		s.Problem = s.Near + ": " + err.Error()
	}
	return s
}
