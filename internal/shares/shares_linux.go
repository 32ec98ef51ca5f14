package shares

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// resource is what is shared: a bottle has a part of what its user may have, no
// less than programs need, and no more than they are known to use.
type resource struct {
	number      int
	what        string
	part        uint64 // 2: a half
	least, most uint64
	// counted says that a user namespace is held to what its maker may have, too
	// (getrlimit(2), Linux 5.14).
	counted bool
}

// The kernel compares each with what the user has in all, in a user namespace
// with what the user has there. TestNeighbourOnTheSameUID.
var resources = []resource{
	// Descriptors on their way through sockets count against it (unix(7)).
	{unix.RLIMIT_NOFILE, "open files", 2, 1024, 1 << 16, false},
	// Bytes: what is sent without a copy (MSG_ZEROCOPY), and locked segments. The
	// kernel compares pages of those with a namespace's bytes (as of 6.18), and so
	// holds none. GnuPG asks for 64 KiB of its own.
	{unix.RLIMIT_MEMLOCK, "locked memory", 8, 64 << 10, 4 << 20, false},
	// Bytes of POSIX messages.
	{unix.RLIMIT_MSGQUEUE, "messages", 2, 0, 1 << 20, true},
	// Queued signals, and timers, each of which has one.
	{unix.RLIMIT_SIGPENDING, "pending signals", 2, 256, 1 << 16, true},
}

// Own are a bottle's, by what the calling process's user may have.
func Own() (Shares, error) {
	var own Shares
	for _, r := range resources {
		var limit unix.Rlimit
		if err := unix.Getrlimit(r.number, &limit); err != nil {
			return nil, fmt.Errorf("read the limit of %s: %w", r.what, err)
		}
		own = append(own, Share{r.number, min(limit.Max, max(r.least, min(limit.Max/r.part, r.most)))})
	}
	return own, nil
}

// Together calls make, which makes a user namespace, and has all such
// namespaces of this user leave a quarter to what is in none, as the calling
// process is.
func Together(make func() error) (err error) {
	for _, r := range resources {
		if !r.counted {
			continue
		}
		var limit unix.Rlimit
		if err := unix.Getrlimit(r.number, &limit); err != nil {
			return fmt.Errorf("read the limit of %s: %w", r.what, err)
		}
		less := unix.Rlimit{Cur: min(limit.Cur, limit.Max/4*3), Max: limit.Max}
		if err := unix.Setrlimit(r.number, &less); err != nil {
			return fmt.Errorf("limit %s: %w", r.what, err)
		}
		defer func() { err = errors.Join(err, unix.Setrlimit(r.number, &limit)) }()
	}
	return make()
}

// Take holds the calling process, and what it starts, to them, for good.
func (s Shares) Take() error {
	for _, one := range s {
		var limit unix.Rlimit
		err := unix.Getrlimit(one.Resource, &limit)
		if err == nil {
			limit.Max = min(limit.Max, one.Most)
			limit.Cur = min(limit.Cur, limit.Max)
			err = unix.Setrlimit(one.Resource, &limit)
		}
		if err != nil {
			return fmt.Errorf("hold resource %d to %d: %w", one.Resource, one.Most, err)
		}
	}
	return nil
}
