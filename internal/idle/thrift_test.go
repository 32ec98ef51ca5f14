package idle

import (
	"runtime"
	"runtime/metrics"
	"testing"
	"time"
)

func TestGarbage(t *testing.T) {
	last := 100
	for held := range uint64(300) {
		percent := garbage(held << 20)
		most := max(held, freeGarbage>>20, held*leastPercent/100)
		if percent > last || percent < leastPercent || uint64(percent)*held/100 > most { //nolint:gosec // G115: percent
			t.Errorf("%d %% of %d MiB", percent, held)
		}
		last = percent
	}
}

// TestThrift: a process that comes to hold much is collected sooner, and later
// again once it holds little.
func TestThrift(t *testing.T) {
	Thrift()
	wait := func(wanted func(uint64) bool) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for {
			runtime.GC()
			now := []metrics.Sample{{Name: "/gc/gogc:percent"}}
			metrics.Read(now)
			if percent := now[0].Value.Uint64(); wanted(percent) {
				return
			} else if time.Now().After(deadline) {
				t.Fatalf("%d %%", percent)
			}
		}
	}
	much := make([]*[1 << 20]byte, 100)
	for i := range much {
		much[i] = new([1 << 20]byte)
	}
	wait(func(percent uint64) bool { return percent == leastPercent })
	runtime.KeepAlive(much)
	much = nil
	wait(func(percent uint64) bool { return percent == 100 })
}
