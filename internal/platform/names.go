package platform

import "strconv"

// LastSuffix is the highest number that a bottle's name gets.
const LastSuffix = 99

// BottleName is the nth name for slug, counted from 1.
func BottleName(slug string, n int) string {
	name := "claude-bottle-" + slug
	if n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	return name
}
