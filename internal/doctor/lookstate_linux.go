package doctor

import "golang.org/x/sys/unix"

func (s *StateDir) lookAtFileSystem() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.Near, &fs); err != nil {
		return err
	}
	s.ReadOnly = fs.Flags&unix.ST_RDONLY != 0
	s.NoExec = fs.Flags&unix.ST_NOEXEC != 0
	s.Free = fs.Bavail * uint64(fs.Bsize) //nolint:gosec // G115: a block's size is not negative
	s.Files, s.FilesCounted = fs.Ffree, fs.Files > 0
	return nil
}
