package hint

import (
	"slices"
	"strings"
)

// Closest returns those of candidates that word was probably meant to be,
// closest first, at most three: they differ in few letters, or one begins
// with the other. Among very many candidates none is looked for: they may be a
// stranger's, who asks again for each of very many words.
func Closest(word string, candidates []string) []string {
	type scored struct {
		name string
		cost int
	}
	const longest = 64 // longer words are no slips of the finger
	const most = 1000
	if len(word) > longest || len(candidates) > most {
		return nil
	}
	limit := min(3, max(1, len(word)/3), len(word)-1) // in one letter everything is near
	var near []scored
	for _, name := range candidates {
		cost := distance(strings.ToLower(word), strings.ToLower(name), limit)
		begins := len(word) >= 3 && strings.HasPrefix(name, word) || len(name) >= 3 && strings.HasPrefix(word, name)
		if cost > limit && begins {
			cost = limit
		}
		if cost <= limit {
			near = append(near, scored{name, cost})
		}
	}
	slices.SortStableFunc(near, func(a, b scored) int {
		if a.cost != b.cost {
			return a.cost - b.cost
		}
		return strings.Compare(a.name, b.name)
	})
	names := make([]string, 0, 3)
	for _, n := range near[:min(3, len(near))] {
		names = append(names, n.name)
	}
	return slices.Compact(names)
}

// distance is the number of letters to insert, delete, replace or swap with
// their neighbour that turn a into b (optimal string alignment); limit+1 when
// the lengths alone say that it is more than limit.
func distance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
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
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
