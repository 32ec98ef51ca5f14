package gateway

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// gauges count what the gateway does. They are read over the control stream,
// in Prometheus' text format 0.0.4, and never on the bottle's side: how busy
// the gateway is with what is the person's business
// (TestCountersAreNotOnTheBottlesSide).
type gauges struct {
	sent, received atomic.Int64

	mu        sync.Mutex // guards the rest
	decisions map[decided]int64
	added     map[policy.Kind]*histogram
}

// decided is one series of the decisions.
type decided struct {
	kind    policy.Kind
	outcome audit.Outcome
}

// bounds of the histogram's buckets, in seconds.
var bounds = [...]float64{.00005, .0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}

// histogram is Prometheus' kind of one.
type histogram struct {
	buckets [len(bounds)]int64 // each without those before it
	count   int64
	sum     float64 // seconds
}

func (h *histogram) observe(seconds float64) {
	h.count++
	h.sum += seconds
	for i, bound := range bounds {
		if seconds <= bound {
			h.buckets[i]++
			return
		}
	}
}

// counted counts the decision of a line of the record.
func (g *gauges) counted(e audit.Event) {
	if e.Phase == audit.Close && e.Decision == audit.Allowed {
		return // its open line was counted
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.decisions == nil {
		g.decisions = map[decided]int64{}
	}
	g.decisions[decided{e.Kind, e.Decision}]++
}

// took says how much time the gateway itself added to a request, without the
// look-up and the connection to upstream.
func (g *gauges) took(kind policy.Kind, added time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.added == nil {
		g.added = map[policy.Kind]*histogram{}
	}
	h := g.added[kind]
	if h == nil {
		h = &histogram{}
		g.added[kind] = h
	}
	h.observe(added.Seconds())
}

// counters are all counters as text.
func (s *server) counters() string {
	var b strings.Builder
	s.gauges.write(&b)
	clients, upstream, waiting, open := 0, 0, 0, 0
	s.mu.Lock()
	for _, side := range s.conns {
		if side == bottleSide {
			clients++
		} else {
			upstream++
		}
	}
	waiting, open = s.waiting.order.Len(), len(s.passages)
	s.mu.Unlock()
	head(&b, "connections", "gauge", "Connections that are open, by side.")
	sample(&b, "connections", `{side="bottle"}`, float64(clients))
	sample(&b, "connections", `{side="world"}`, float64(upstream))
	head(&b, "waiting_clients", "gauge", "Clients whose next request has yet to come.")
	sample(&b, "waiting_clients", "", float64(waiting))
	head(&b, "passages", "gauge", "Requests and tunnels that are under way.")
	sample(&b, "passages", "", float64(open))
	head(&b, "connections_limit", "gauge", "Clients that are served at once, at most.")
	sample(&b, "connections_limit", "", float64(s.limits.connections))
	return b.String()
}

// prefix of every name.
const prefix = "claude_bottle_gateway_"

func head(w io.Writer, name, kind, help string) {
	fmt.Fprintf(w, "# HELP %s%s %s\n# TYPE %[1]s%[2]s %[4]s\n", prefix, name, help, kind)
}

func sample(w io.Writer, name, labels string, value float64) {
	fmt.Fprintf(w, "%s%s%s %s\n", prefix, name, labels, strconv.FormatFloat(value, 'g', -1, 64))
}

func (g *gauges) write(w io.Writer) {
	head(w, "bytes_total", "counter", "Bytes carried, as the record counts them.")
	sample(w, "bytes_total", `{direction="sent"}`, float64(g.sent.Load()))
	sample(w, "bytes_total", `{direction="received"}`, float64(g.received.Load()))
	g.mu.Lock()
	defer g.mu.Unlock()
	head(w, "decisions_total", "counter", "Decisions, by way in and outcome.")
	for _, d := range slices.SortedFunc(maps.Keys(g.decisions), func(a, b decided) int {
		return strings.Compare(string(a.kind)+"\x00"+string(a.outcome), string(b.kind)+"\x00"+string(b.outcome))
	}) {
		sample(w, "decisions_total", fmt.Sprintf("{kind=%q,decision=%q}", d.kind, d.outcome), float64(g.decisions[d]))
	}
	head(w, "added_seconds", "histogram", "Time that the gateway itself adds to a request before it is sent on or refused.")
	for _, kind := range slices.Sorted(maps.Keys(g.added)) {
		g.added[kind].write(w, "added_seconds", string(kind))
	}
}

func (h *histogram) write(w io.Writer, name, kind string) {
	var below int64
	for i, bound := range bounds {
		below += h.buckets[i]
		le := strconv.FormatFloat(bound, 'g', -1, 64)
		sample(w, name+"_bucket", fmt.Sprintf("{kind=%q,le=%q}", kind, le), float64(below))
	}
	sample(w, name+"_bucket", fmt.Sprintf(`{kind=%q,le="+Inf"}`, kind), float64(h.count))
	sample(w, name+"_sum", fmt.Sprintf("{kind=%q}", kind), h.sum)
	sample(w, name+"_count", fmt.Sprintf("{kind=%q}", kind), float64(h.count))
}
