package platform

import "golang.org/x/sys/unix"

// FreeIn returns a Disk's Free for the file systems of directories. One that
// cannot be asked is left out.
func FreeIn(dirs ...string) func() []int64 {
	var asked []string
	seen := map[uint64]bool{}
	for _, dir := range dirs {
		var stat unix.Stat_t
		if err := unix.Stat(dir, &stat); err != nil || seen[uint64(stat.Dev)] { //nolint:unconvert // int32 on some systems
			continue
		}
		seen[uint64(stat.Dev)] = true //nolint:unconvert // as above
		asked = append(asked, dir)
	}
	return func() []int64 {
		free := make([]int64, len(asked))
		for i, dir := range asked {
			var stat unix.Statfs_t
			if err := unix.Statfs(dir, &stat); err == nil {
				free[i] = int64(stat.Bavail) * int64(stat.Bsize) //nolint:gosec,unconvert // G115: bytes of a disk; uint32 on some systems
			}
		}
		return free
	}
}
