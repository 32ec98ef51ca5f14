package guest

import (
	"runtime"
	"sync"
)

// spareThreads is more than what a guest has at work at once: it starts and
// reaps processes by system calls that wait, and everything else is polled.
const spareThreads = 12

// makeThreads has Go's runtime make its threads while it still can: made is
// closed when they are there, and nothing that can fill the bottle starts before.
// The runtime keeps those that have nothing to do, and ends the whole process
// when it needs one more and the kernel has none: a bottle that is full of
// processes would end by it, instead of going on without that process (the
// suite's row limits/processes).
func makeThreads() (made <-chan struct{}) {
	done := make(chan struct{})
	go func() { // ends when they are made
		defer close(done)
		var there, over sync.WaitGroup
		leave := make(chan struct{})
		for range spareThreads {
			there.Add(1)
			over.Go(func() {
				runtime.LockOSThread() // nobody else's until it is unlocked
				defer runtime.UnlockOSThread()
				there.Done()
				<-leave
			})
		}
		there.Wait()
		close(leave)
		over.Wait()
	}()
	return done
}
