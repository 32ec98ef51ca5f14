package manifest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Position is a place in a manifest. Line and Column count from 1, columns in
// characters; both are 0 when the whole file is meant.
type Position struct {
	File   string
	Line   int
	Column int
	Origin Origin
}

// String is file:line:column, with the control bytes of the name escaped.
func (p Position) String() string {
	file := plain(p.File)
	if p.Line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, p.Line, p.Column)
}

// Problem is one thing that is wrong at one place.
type Problem struct {
	At      Position
	Message string
}

// String is file:line:column: message, with control bytes escaped whatever the
// message holds.
func (p Problem) String() string { return p.At.String() + ": " + plain(p.Message) }

// Errors is everything that is wrong with the manifests, home's first, each
// file from the top.
type Errors []Problem

// shownErrors bounds what is printed of a file made to be wrong everywhere.
const shownErrors = 100

// Error is one line a problem.
func (e Errors) Error() string {
	var lines []string
	for _, problem := range e[:min(len(e), shownErrors)] {
		lines = append(lines, problem.String())
	}
	if more := len(e) - shownErrors; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// sorted orders problems by place and drops repetitions, which an alias of
// YAML makes when the same text is used twice.
func sorted(problems []Problem) []Problem {
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.At.Origin, b.At.Origin), // "home" before "project"
			cmp.Compare(a.At.File, b.At.File),
			cmp.Compare(a.At.Line, b.At.Line),
			cmp.Compare(a.At.Column, b.At.Column),
			cmp.Compare(a.Message, b.Message),
		)
	})
	return slices.Compact(problems)
}

// plain escapes what could move a terminal's cursor or hide text.
func plain(s string) string {
	quoted := strconv.Quote(s)
	inner := quoted[1 : len(quoted)-1]
	if inner == s {
		return s
	}
	// Quote escapes quotes and backslashes too, which are harmless here.
	return strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(inner)
}

// quote is strconv.Quote with a bound: a message stays readable whatever the
// file holds.
func quote(s string) string {
	const longest = 120
	runes := []rune(s)
	if len(runes) <= longest {
		return strconv.Quote(s)
	}
	return strconv.Quote(string(runes[:longest])) + "…"
}
