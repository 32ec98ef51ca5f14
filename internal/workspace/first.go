package workspace

import (
	"container/heap"
	"slices"
)

// first counts paths and keeps the pathsMax that sort first, so that what is
// named does not depend on the order of a directory.
type first struct {
	count int
	kept  latest
}

func (f *first) add(path string) {
	f.count++
	switch {
	case len(f.kept) < pathsMax:
		heap.Push(&f.kept, path)
	case path < f.kept[0]:
		f.kept[0] = path
		heap.Fix(&f.kept, 0)
	}
}

func (f *first) sorted() []string { return slices.Sorted(slices.Values(f.kept)) }

// latest is a heap with the path that sorts last on top.
type latest []string

func (l latest) Len() int           { return len(l) }
func (l latest) Less(i, j int) bool { return l[i] > l[j] }
func (l latest) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *latest) Push(path any)     { *l = append(*l, path.(string)) }
func (l *latest) Pop() any {
	old := *l
	path := old[len(old)-1]
	*l = old[:len(old)-1]
	return path
}
