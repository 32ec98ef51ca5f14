package scan

// graph is the automaton before it is made deterministic: a state for each
// position in each keyword, and edges for every way in which the next
// character may be written. It has no cycles, and state 0 is the start.
type graph struct {
	edges   [][]edge
	accepts map[int32]int32 // the rows whose keywords end in a state
}

type edge struct {
	b  byte
	to int32
}

func newGraph() *graph {
	return &graph{edges: make([][]edge, 1), accepts: map[int32]int32{}}
}

func (g *graph) state() int32 {
	g.edges = append(g.edges, nil)
	return int32(len(g.edges) - 1)
}

// unit is one character of a keyword: the bytes that it may be.
type unit []byte

// keyword adds the keyword of row index, and what else of it must be read.
func (g *graph) keyword(index int, r *row) {
	at := int32(0)
	then := func(bytes unit) {
		next := g.state()
		for _, b := range bytes {
			g.edges[at] = append(g.edges[at], edge{b, next})
		}
		at = next
	}
	for _, b := range []byte(r.Keyword) {
		if r.Fold {
			then(bothCases(b))
		} else {
			then(unit{b})
		}
	}
	if r.ahead > 0 {
		then(r.parts[0].class.unit())
	}
	g.accepts[at] = int32(index)
}

// bothCases are a byte's one or two cases.
func bothCases(b byte) unit {
	switch {
	case 'a' <= b && b <= 'z':
		return unit{b, b - 'a' + 'A'}
	case 'A' <= b && b <= 'Z':
		return unit{b, b - 'A' + 'a'}
	default:
		return unit{b}
	}
}
