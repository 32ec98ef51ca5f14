package audit

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// Each line is on the disk within SyncEvery, however long nothing came before,
// and while nothing comes nothing is timed.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := OpenWriter(filepath.Join(t.TempDir(), "record"), 0)
		if err != nil {
			t.Fatal(err)
		}
		dirty := func() bool {
			synctest.Wait()
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.dirty
		}
		for range 3 {
			<-time.After(10 * SyncEvery)
			if dirty(); w.due.Stop() {
				t.Error("it is timed, and nothing was written")
			}
			for range 2 {
				if err := w.Append(Event{Kind: "connect", Decision: Allowed}); err != nil {
					t.Fatal(err)
				}
				<-time.After(SyncEvery / 2)
				if !dirty() {
					t.Error("it was synced early")
				}
				<-time.After(SyncEvery/2 + 1)
				if dirty() {
					t.Error("it was not synced in time")
				}
			}
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
}
