package idle

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"
)

// Of what a process holds, as much again may lie about as garbage, as Go has
// it, up to freeGarbage bytes; of what goes beyond, leastPercent.
const (
	freeGarbage  = 12 << 20
	leastPercent = 25
)

// Thrift has the collector leave the less garbage lying about the more is held,
// from now on: what a crowd of clients makes a process hold costs no twofold of
// it. Who holds little is collected no more often than before.
func Thrift() {
	if thrifty.Swap(true) {
		return
	}
	watchCollector(100)
}

var thrifty atomic.Bool

// cycle is garbage from the beginning: its end is that of a collection.
type cycle struct{ percent *int }

// watchCollector sets what there may be of garbage after each collection. A
// process that makes none is not woken by it.
func watchCollector(percent int) {
	runtime.AddCleanup(&cycle{new(int)}, func(now int) {
		held := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(held)
		wanted := garbage(held[0].Value.Uint64())
		if wanted != now {
			debug.SetGCPercent(wanted)
		}
		watchCollector(wanted)
	}, percent)
}

// garbage is how much there may be of it, in percent of what is held, in steps
// of five.
func garbage(held uint64) int {
	if held <= freeGarbage {
		return 100
	}
	return max(int(freeGarbage*100/held)/5*5, leastPercent) //nolint:gosec // G115: below 100
}
