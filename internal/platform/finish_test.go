package platform

import (
	"testing"

	"claude-bottle/internal/wire"
)

// A bottle that is closed waits for as long as a renewal may take.
func TestFinishFitsARenewal(t *testing.T) {
	if finishPatience <= wire.RenewalTime+wire.KeepTime {
		t.Errorf("it waits %v, and a renewal may take %v and %v", finishPatience, wire.RenewalTime, wire.KeepTime)
	}
}
