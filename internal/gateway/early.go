package gateway

import "time"

// earlyPatience is how long the answer to a request whose body is under way is
// held back. A client sends a small body right behind its head, and an origin may
// have answered the head by then: whether the body is refused is to be known before
// the client is told that all is well. One that is still sending later is told what
// the origin said, and cut off in the middle of it should a later piece be refused
// (TestEarlyAnswer).
const earlyPatience = 50 * time.Millisecond

// awaitSent waits for a request's body to have gone up, or to have been refused,
// but not for long.
func awaitSent(sent <-chan struct{}) {
	select {
	case <-sent:
		return
	default:
	}
	timer := time.NewTimer(earlyPatience)
	defer timer.Stop()
	select {
	case <-sent:
	case <-timer.C:
	}
}
