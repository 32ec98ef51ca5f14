package scan

// graph is the automaton before it is made deterministic: a state for each
// position in each encoding of each value, and edges for every way in which
// the next character may be written. It has no cycles, so a match has a
// longest form, and state 0 is the start.
type graph struct {
	edges   [][]edge
	accepts map[int32]accept
}

type edge struct {
	b  byte
	to int32
}

// accept is what has been read when a state is reached.
type accept struct {
	keyword  bool // of a row; else a value
	index    int32
	encoding Encoding
}

func newGraph() *graph {
	return &graph{edges: make([][]edge, 1), accepts: map[int32]accept{}}
}

func (g *graph) state() int32 {
	g.edges = append(g.edges, nil)
	return int32(len(g.edges) - 1)
}

func (g *graph) edge(from int32, b byte, to int32) {
	for _, e := range g.edges[from] {
		if e == (edge{b, to}) {
			return
		}
	}
	g.edges[from] = append(g.edges[from], edge{b, to})
}

// unit is one character of a value: the ways to write it.
type unit []string

// between are the ways in which an encoder breaks its output into lines or
// groups; each may stand once between two units.
type between []string

// chain adds a sequence of units that ends in what. Where between is given, a
// break may stand before each unit but the first, and before those alone that
// every divides.
func (g *graph) chain(units []unit, breaks between, every int, what accept) {
	sources := []int32{0}
	for i, u := range units {
		next := g.state()
		head := g.ways(u, next)
		for _, source := range sources {
			for _, e := range head {
				g.edge(source, e.b, e.to)
			}
		}
		sources = []int32{next}
		if i+1 < len(units) && len(breaks) > 0 && (i+1)%every == 0 {
			broken := g.state()
			for _, e := range g.ways(unit(breaks), broken) {
				g.edge(next, e.b, e.to)
			}
			sources = append(sources, broken)
		}
	}
	g.accepts[sources[0]] = what
}

// ways makes the paths of u that end in next, and returns their first edges.
// Ways that begin alike share what is alike.
func (g *graph) ways(u unit, next int32) []edge {
	var head []edge
	first := map[string]int32{}
	for _, way := range u {
		at := int32(-1)
		for i := range len(way) {
			to := next
			if i+1 < len(way) {
				var known bool
				if to, known = first[way[:i+1]]; !known {
					to = g.state()
					first[way[:i+1]] = to
				}
			}
			if at < 0 {
				head = appendEdge(head, edge{way[i], to})
			} else {
				g.edge(at, way[i], to)
			}
			at = to
		}
	}
	return head
}

func appendEdge(edges []edge, e edge) []edge {
	for _, have := range edges {
		if have == e {
			return edges
		}
	}
	return append(edges, e)
}

// keyword adds the keyword of row index, and what else of it must be read.
func (g *graph) keyword(index int, r *row) {
	units := make([]unit, len(r.Keyword), len(r.Keyword)+r.ahead)
	for i := range len(r.Keyword) {
		units[i] = unit{r.Keyword[i : i+1]}
		if r.Fold {
			units[i] = bothCases(r.Keyword[i])
		}
	}
	if r.ahead > 0 {
		units = append(units, r.parts[0].class.unit())
	}
	g.chain(units, nil, 0, accept{keyword: true, index: int32(index)})
}

// bothCases are a byte's one or two cases.
func bothCases(b byte) unit {
	switch {
	case 'a' <= b && b <= 'z':
		return unit{string(rune(b)), string(rune(b - 'a' + 'A'))}
	case 'A' <= b && b <= 'Z':
		return unit{string(rune(b)), string(rune(b - 'A' + 'a'))}
	default:
		return unit{string([]byte{b})}
	}
}
