package manifest

import (
	"cmp"
	"strings"
)

// closest returns the candidate that a person who typed word most likely
// meant, or "" when none is near: one that word begins with, or at most one edit
// for every three characters.
func closest(word string, candidates []string) string {
	const longest = 64 // longer words are no slips of the finger
	if word == "" || len(word) > longest {
		return ""
	}
	best, distance, beginning := "", min(max(1, len(word)/3), len(word)-1)+1, ""
	for _, candidate := range candidates {
		if len(candidate) > longest {
			continue
		}
		if len(candidate) >= 3 && strings.HasPrefix(word, candidate) { // environment: env
			beginning = candidate
		}
		if d := edits(word, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return cmp.Or(best, beginning)
}

// edits is the optimal string alignment distance: insertions, deletions,
// replacements and swaps of neighbours, on bytes, the case of ASCII letters
// ignored.
func edits(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if lower(a[i-1]) == lower(b[j-1]) {
				cost = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && lower(a[i-1]) == lower(b[j-2]) && lower(a[i-2]) == lower(b[j-1]) {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
