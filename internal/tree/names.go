package tree

import "golang.org/x/sys/unix"

// batch is the size in bytes of one read of a directory: some 800 names.
const batch = 32 << 10

// names reads the next names of the directory fd; none at its end.
func names(fd int, buffer []byte) ([]string, error) {
	for {
		var n int
		err := again(func() (err error) {
			n, err = unix.ReadDirent(fd, buffer)
			return err
		})
		if err != nil || n <= 0 {
			return nil, err
		}
		// A batch of "." and ".." alone is not the end.
		if _, _, found := unix.ParseDirent(buffer[:n], -1, nil); len(found) > 0 {
			return found, nil
		}
	}
}

// Names reads all names of the directory fd, in the directory's order.
func Names(fd int) ([]string, error) {
	var all []string
	buffer := make([]byte, batch)
	for {
		some, err := names(fd, buffer)
		if err != nil || len(some) == 0 {
			return all, err
		}
		all = append(all, some...)
	}
}
