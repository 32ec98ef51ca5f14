//go:build linux && race

package confine

// slowdown is the race detector's.
const slowdown = 10
