package scan

import (
	"encoding/binary"
	"errors"
	"slices"
)

// machine is the graph made deterministic. State 0 and those that one byte
// leads to from there have a full row; every other one holds only what
// differs from the row of the state that its last byte alone would lead to,
// which is nearly nothing.
type machine struct {
	states []state
	keys   []byte
	next   []uint32
	rows   [][256]uint32

	accepts [][]int32 // rows whose keyword was read
}

// state is one row, and what is known when it is reached.
type state struct {
	first   uint32 // in keys and next
	accepts uint32 // in accepts; 0 for none
	deep    uint16 // bytes that the longest match under way may have
	count   uint8  // of keys
	row     uint8  // in rows: for every other byte
}

const maxStates = 1 << 20

var errTooBig = errors.New("the rows to look for make too large an automaton")

func (m *machine) step(s uint32, b byte) uint32 {
	st := &m.states[s]
	keys := m.keys[st.first : st.first+uint32(st.count)]
	for i, k := range keys {
		if k == b {
			return m.next[st.first+uint32(i)]
		}
	}
	return m.rows[st.row][b]
}

func (m *machine) size() int {
	n := len(m.states)*12 + len(m.keys) + len(m.next)*4 + len(m.rows)*1024
	return n + len(m.accepts)*28
}

// subsets builds a machine by following sets of states of the graph.
type subsets struct {
	g     *graph
	m     *machine
	known map[string]uint32
	sets  [][]int32
	last  []byte // the byte by which each set was first reached
	deep  []int  // of the graph's states
	root  [256][]int32

	targets [256][]int32 // scratch of follow
	touched []byte
	key     []byte // scratch of number
}

// machine makes the graph deterministic. A set leaves out the start, which is
// in every one.
func (g *graph) machine() (*machine, error) {
	b := &subsets{
		g:     g,
		m:     &machine{accepts: make([][]int32, 1)},
		known: map[string]uint32{"": 0},
		sets:  [][]int32{nil},
		last:  []byte{0},
		deep:  g.depths(),
	}
	for _, e := range g.edges[0] {
		b.root[e.b] = append(b.root[e.b], e.to)
	}
	var start [256]uint32
	for c, to := range b.root {
		start[c] = b.number(slices.Clone(to), byte(c))
	}
	if len(b.sets) > 256 {
		return nil, errTooBig // every byte begins something
	}
	b.m.rows = append(b.m.rows, start)
	full := uint32(len(b.sets))
	for at := uint32(0); at < uint32(len(b.sets)); at++ {
		if at > maxStates {
			return nil, errTooBig
		}
		var st state
		st.deep, st.accepts = b.facts(b.sets[at])
		switch {
		case at == 0:
		case at < full:
			st.row = uint8(at)
			b.m.rows = append(b.m.rows, b.row(b.sets[at]))
		default:
			st.row = uint8(start[b.last[at]])
			if err := b.differences(at, &st); err != nil {
				return nil, err
			}
		}
		b.m.states = append(b.m.states, st)
	}
	b.m.fit()
	return b.m, nil
}

// fit drops the room to grow that the tables have: a machine is built once and
// held for a whole run.
func (m *machine) fit() {
	m.states, m.keys, m.next = fitted(m.states), fitted(m.keys), fitted(m.next)
	m.rows, m.accepts = fitted(m.rows), fitted(m.accepts)
}

func fitted[T any](s []T) []T { return append(make([]T, 0, len(s)), s...) }

// row is the full row of a set.
func (b *subsets) row(set []int32) [256]uint32 {
	row := b.m.rows[0]
	for _, c := range b.follow(set, nil) {
		row[c] = b.number(b.targets[c], c)
	}
	return row
}

// differences adds to the keys what state at has beside the row of st, which
// is that of a part of its set.
func (b *subsets) differences(at uint32, st *state) error {
	part := b.sets[st.row]
	touched := b.follow(b.sets[at], part)
	if len(touched) > 255 {
		return errTooBig
	}
	st.first, st.count = uint32(len(b.m.keys)), uint8(len(touched))
	for _, member := range part {
		for _, e := range b.g.edges[member] {
			if len(b.targets[e.b]) > 0 {
				b.targets[e.b] = append(b.targets[e.b], e.to)
			}
		}
	}
	for _, c := range touched {
		b.m.keys = append(b.m.keys, c)
		b.m.next = append(b.m.next, b.number(b.targets[c], c))
	}
	return nil
}

// follow fills targets with the sets that the members of set without those of
// without lead to, the start's own steps included, and returns the bytes that
// have one. The sets are good until the next call.
func (b *subsets) follow(set, without []int32) []byte {
	for _, c := range b.touched {
		b.targets[c] = b.targets[c][:0]
	}
	b.touched = b.touched[:0]
	for _, member := range set {
		if _, ok := slices.BinarySearch(without, member); ok {
			continue
		}
		for _, e := range b.g.edges[member] {
			if len(b.targets[e.b]) == 0 {
				b.touched = append(b.touched, e.b)
				b.targets[e.b] = append(b.targets[e.b], b.root[e.b]...)
			}
			b.targets[e.b] = append(b.targets[e.b], e.to)
		}
	}
	slices.Sort(b.touched)
	return b.touched
}

// facts is what is known of a set: how far back its matches may reach, and
// what it accepts.
func (b *subsets) facts(set []int32) (deep uint16, accepts uint32) {
	var all []int32
	for _, member := range set {
		deep = max(deep, uint16(min(b.deep[member], 1<<16-1)))
		if row, ok := b.g.accepts[member]; ok {
			all = append(all, row)
		}
	}
	if len(all) == 0 {
		return deep, 0
	}
	b.m.accepts = append(b.m.accepts, all)
	return deep, uint32(len(b.m.accepts) - 1)
}

// number is the state of a set that last leads to; a new one is queued. The
// set is sorted, and not kept.
func (b *subsets) number(set []int32, last byte) uint32 {
	slices.Sort(set)
	set = slices.Compact(set)
	b.key = b.key[:0]
	for _, member := range set {
		b.key = binary.LittleEndian.AppendUint32(b.key, uint32(member))
	}
	if at, ok := b.known[string(b.key)]; ok {
		return at
	}
	at := uint32(len(b.sets))
	b.known[string(b.key)] = at
	b.sets = append(b.sets, slices.Clone(set))
	b.last = append(b.last, last)
	return at
}

// depths is, for each state, the longest way to it in bytes.
func (g *graph) depths() []int {
	deep := make([]int, len(g.edges))
	waiting := make([]int, len(g.edges)) // edges into a state not yet followed
	for _, edges := range g.edges {
		for _, e := range edges {
			waiting[e.to]++
		}
	}
	ready := []int32{0}
	for len(ready) > 0 {
		at := ready[len(ready)-1]
		ready = ready[:len(ready)-1]
		for _, e := range g.edges[at] {
			deep[e.to] = max(deep[e.to], deep[at]+1)
			if waiting[e.to]--; waiting[e.to] == 0 {
				ready = append(ready, e.to)
			}
		}
	}
	return deep
}
