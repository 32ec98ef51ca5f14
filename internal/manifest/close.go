package manifest

import "claude-bottle/internal/hint"

// closest returns the candidate that a person who typed word most likely
// meant, or "" when none is near.
func closest(word string, candidates []string) string {
	if near := hint.Closest(word, candidates); len(near) > 0 {
		return near[0]
	}
	return ""
}
