//go:build linux

package native

import "golang.org/x/sys/unix"

// maxGroups is more control groups than a bottle is ever in.
const maxGroups = 8

// joinGroup puts the calling process into the control group whose file
// cgroup.procs was opened as fd. What counts is who opened it (CVE-2021-4197).
func joinGroup(fd int) error {
	_, err := unix.Write(fd, []byte("0"))
	return err
}
