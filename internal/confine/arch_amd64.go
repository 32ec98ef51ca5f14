//go:build linux

package confine

func native() architecture { return amd64() }
