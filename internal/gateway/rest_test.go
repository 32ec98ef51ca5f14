package gateway

import (
	"testing"
	"testing/synctest"
	"time"
)

// A gateway gives memory back once after each time that it was busy, and not
// while it is.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r rest
		r.putOff() // before anything serves: nothing
		begun := time.Now()
		var given []time.Duration
		end := r.begin(func() { given = append(given, time.Since(begun)) })
		after := func(pause time.Duration) {
			<-time.After(pause)
			synctest.Wait()
		}
		for range 5 {
			after(restPause / 2)
			r.putOff()
		}
		after(100 * restPause)
		if len(given) != 1 || given[0] != 5*restPause/2+restPause {
			t.Errorf("given back at %v", given)
		}
		r.putOff()
		end()
		r.putOff()
		after(100 * restPause)
		if len(given) != 1 {
			t.Errorf("given back after its end, at %v", given)
		}
	})
}
