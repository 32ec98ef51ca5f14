package manifest

import "claude-bottle/internal/hint"

// closest returns the candidate that a person who typed word most likely
// meant, or "" when none is near. Beside found problems, as many as are shown, no
// more is looked for: a search takes a while, and a hostile file has many words.
func closest(word string, candidates []string, found []Problem) string {
	if len(found) >= shownErrors {
		return ""
	}
	if near := hint.Closest(word, candidates); len(near) > 0 {
		return near[0]
	}
	return ""
}
