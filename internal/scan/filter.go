package scan

import "encoding/binary"

// filter says, of three bytes, whether they can be the first to third or the
// second to fourth of anything that is looked for. While nothing is under way
// it is enough to ask it at every second byte, each answer independent of the
// one before: a processor does several at once, where an automaton waits for
// each of its steps.
type filter struct {
	bits [1 << (filterBits - 6)]uint64
}

// filterBits gives 16 KiB, which stay in a core's first cache.
const filterBits = 17

// shortest is the length of the shortest pattern that the filter is right for.
const shortest = 4

func slot(gram uint32) uint32 { return gram * 0x9E3779B1 >> (32 - filterBits) }

func (f *filter) add(gram uint32) { f.bits[slot(gram)>>6] |= 1 << (slot(gram) & 63) }

func (f *filter) has(gram uint32) bool {
	at := slot(gram)
	return f.bits[at>>6]>>(at&63)&1 != 0
}

// next is the first place at or after from, and of from's parity, where
// something may begin at that byte or at the one before. Without one it is
// the place from which the caller must go on by the automaton alone, since
// too few bytes are left to ask.
func (f *filter) next(p []byte, from int) int {
	const step = 6
	i := from
	for ; i+8 <= len(p); i += step {
		w := binary.LittleEndian.Uint64(p[i:])
		if f.has(uint32(w) & 0xffffff) {
			return i
		}
		if f.has(uint32(w>>16) & 0xffffff) {
			return i + 2
		}
		if f.has(uint32(w>>32) & 0xffffff) {
			return i + 4
		}
	}
	return i
}

// filter collects the first four bytes of everything in the graph.
func (g *graph) filter() *filter {
	f := new(filter)
	var walk func(state int32, prefix uint32, depth int)
	walk = func(state int32, prefix uint32, depth int) {
		if depth == shortest {
			f.add(prefix & 0xffffff)
			f.add(prefix >> 8)
			return
		}
		for _, e := range g.edges[state] {
			walk(e.to, prefix|uint32(e.b)<<(8*depth), depth+1)
		}
	}
	walk(0, 0, 0)
	return f
}
