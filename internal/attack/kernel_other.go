//go:build !linux

package attack

// localAttempts are made inside of bottles, which are Linux.
func localAttempts(t Targets) []attempt { return fileAttempts(t) }
