//go:build !linux

package doctor

import "golang.org/x/sys/unix"

// Mount flags of the BSDs and of macOS (mount(2)).
const (
	mountReadOnly = 0x1
	mountNoExec   = 0x4
)

func (s *StateDir) lookAtFileSystem() error {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.Near, &fs); err != nil {
		return err
	}
	s.ReadOnly = fs.Flags&mountReadOnly != 0
	s.NoExec = false // of no matter: an engine in a virtual machine runs the program
	s.Free = uint64(fs.Bavail) * uint64(fs.Bsize)
	return nil
}
