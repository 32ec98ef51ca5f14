//go:build linux && !race

package confine

const slowdown = 1
