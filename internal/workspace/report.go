package workspace

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Reason says why something is not in a copy as it is in its source.
type Reason string

// What is left out of a copy, but LinkOut: a link that leads out of the tree
// is copied as it is, and leads to the bottle's own files, or nowhere.
const (
	Socket     Reason = "socket, left out"
	Device     Reason = "device, left out"
	FIFO       Reason = "fifo, left out"
	Unreadable Reason = "not readable, left out"
	TooLong    Reason = "path too long, left out"
	Unknown    Reason = "neither file, directory nor link, left out"
	LinkOut    Reason = "link that leads out of the project, copied as it is"
	// GitLink is a .git that is a link, GitPointer one that is a file and
	// names a git directory that does not name it back: history stays outside.
	GitLink    Reason = "a link, history left out"
	GitPointer Reason = "names a repository that does not point back to it, history left out"
	// ObjectsLink is a git directory whose objects are elsewhere, by a link.
	ObjectsLink Reason = "a link, left out: git will find no history"
	// Alternates is a repository that borrows objects of another.
	Alternates Reason = "borrows objects of another repository, which are left out: git may find history incomplete"
)

// notesMax bounds how many paths of one reason a report names.
const notesMax = 20

// Note is one path, relative to the source, and its reason. The path is as
// the file system has it: escape it before a person sees it.
type Note struct {
	Path   string
	Reason Reason
}

// Report says what a copy came to.
type Report struct {
	Files int64 // regular files
	Dirs  int64
	Links int64
	Bytes int64 // of file content
	// Notes holds the first paths of each reason, sorted; Counts how many
	// there are in all.
	Notes  []Note
	Counts map[Reason]int
	// Git says that the project's history was copied.
	Git bool
}

func (r *Report) note(path string, reason Reason) {
	if r.Counts == nil {
		r.Counts = map[Reason]int{}
	}
	if r.Counts[reason]++; r.Counts[reason] <= notesMax {
		r.Notes = append(r.Notes, Note{path, reason})
	}
}

func (r *Report) sort() {
	slices.SortFunc(r.Notes, func(a, b Note) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Path, b.Path))
	})
}

// Lines says for a person what is not in the copy as it is in the source, one
// line each, control bytes escaped; none when all is.
func (r Report) Lines() []string {
	var lines []string
	for i, note := range r.Notes {
		lines = append(lines, fmt.Sprintf("%s: %s", printable(note.Path), note.Reason))
		last := i+1 == len(r.Notes) || r.Notes[i+1].Reason != note.Reason
		if more := r.Counts[note.Reason] - notesMax; last && more > 0 {
			lines = append(lines, fmt.Sprintf("and %d more: %s", more, note.Reason))
		}
	}
	return lines
}

// printable is path as a person may see it: in quotes and with escapes when it
// holds anything but printable characters.
func printable(path string) string {
	quoted := strconv.Quote(path)
	if quoted == `"`+path+`"` && strings.TrimSpace(path) == path {
		return path
	}
	return quoted
}
