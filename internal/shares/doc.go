// Package shares is how much a bottle may take of what the kernel counts for a
// user, wherever the user's processes are: a bottle has its person's uid, and
// what it took whole the person's own programs would not get.
//
// Watches of files are not here: they are bounded by a user namespace's own
// settings (package supervise).
package shares

// Share is the most that a process may have of one resource.
type Share struct {
	Resource int    `json:"resource"` // setrlimit(2)
	Most     uint64 `json:"most"`
}

// Shares are one for each resource.
type Shares []Share
