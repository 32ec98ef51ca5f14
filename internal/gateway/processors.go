package gateway

import (
	"os"
	"runtime"
)

// ShareProcessors keeps the gateway to half of the processors, at least one:
// the others are the agent's, whose work it serves. It is for a process that
// is a gateway and nothing else. A single client gains by it too, since what
// waits for a byte then wakes where it slept instead of on another processor,
// idle and slow to wake (docs/benchmarks.md). GOMAXPROCS in the environment
// says otherwise, as for any Go program.
func ShareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
	}
}
