//go:build linux

package confine

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Bounded is p for a bottle whose disk has a limit. That is kept by measuring,
// which a program that writes cannot outrun by far; one that reserves has all
// that is free in one call.
func (p Policy) Bounded() Policy {
	p.Refused = append(slices.Clip(p.Refused),
		Row{
			"reserved-disk", "fallocate",
			[]Condition{is(1, 0).of(unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_COLLAPSE_RANGE | unix.FALLOC_FL_INSERT_RANGE)},
			unix.EOPNOTSUPP,
			"`fallocate` that takes blocks", "fills the host's disk before anything can look; libraries write instead, as where a " +
				"file system cannot reserve",
		},
		Row{
			"reserved-disk-ioctl", "ioctl",
			[]Condition{is(1, fsIocResvsp, fsIocResvsp64, fsIocZeroRange)},
			unix.ENOTTY,
			"`ioctl` FS_IOC_RESVSP, FS_IOC_ZERO_RANGE", "as `fallocate`",
		},
	)
	return p
}

// Older ways to reserve, of every file system (linux/falloc.h).
const (
	fsIocResvsp    = 0x40305828
	fsIocResvsp64  = 0x4030582a
	fsIocZeroRange = 0x40305839
)
