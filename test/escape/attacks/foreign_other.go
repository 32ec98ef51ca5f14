//go:build linux && !amd64

package attacks

// foreignAttacks are written for the ABIs beside amd64.
func foreignAttacks() []Attack { return nil }
