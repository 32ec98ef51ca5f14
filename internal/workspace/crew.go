package workspace

import (
	"context"
	"path"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"claude-bottle/internal/tree"
)

const (
	// chunk is how many names of one directory a worker takes at once.
	chunk = 256
	// crewMax bounds the workers: more wait for the same disk.
	crewMax = 4
	// bufferSize is what a worker reads and writes in one call.
	bufferSize = 256 << 10
)

// crew copies one tree with several workers. They share a stack of jobs, of
// which the latest comes first, so that it stays short.
type crew struct {
	src, dst int // descriptors of the two trees
	owner    tree.Owner
	skip     func(path string) bool // nil: nothing
	prefix   string                 // of paths in the report
	progress func(files, bytes int64)

	mu     sync.Mutex // guards what follows
	wake   *sync.Cond
	jobs   []job
	open   int // jobs that are waiting or being done
	ended  bool
	report *Report

	clone clones
}

// node is a directory of the tree. It gets its owner, mode and times when the
// last thing in it is done: writing into it would change its time again, and
// may need a right that its mode does not give.
type node struct {
	path    string // "" for the top
	parent  *node
	stat    unix.Stat_t
	waiting int // jobs and directories below it that are not done; guarded by crew.mu
}

// job is some names of a directory; nil means all, which are read first.
type job struct {
	dir   *node
	names []string
}

func (c *crew) run(ctx context.Context) error {
	c.wake = sync.NewCond(&c.mu)
	top := &node{}
	if err := unix.Fstat(c.src, &top.stat); err != nil {
		return err
	}
	c.push(job{dir: top})
	group, inner := errgroup.WithContext(ctx)
	stop := context.AfterFunc(inner, c.end)
	defer stop()
	for range min(crewMax, max(2, runtime.GOMAXPROCS(0))) {
		group.Go(func() error {
			w := &worker{crew: c, ctx: inner, buffer: make([]byte, bufferSize)}
			err := w.run()
			if err != nil {
				c.end()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// push adds work below a directory.
func (c *crew) push(jobs ...job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, j := range jobs {
		if j.names == nil && j.dir.parent != nil {
			j.dir.parent.waiting++
		}
		j.dir.waiting++
		c.open++
	}
	c.jobs = append(c.jobs, jobs...)
	c.wake.Broadcast()
}

// pop waits for a job; false when there will be none.
func (c *crew) pop() (job, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.jobs) == 0 && c.open > 0 && !c.ended {
		c.wake.Wait()
	}
	if c.ended || len(c.jobs) == 0 {
		return job{}, false
	}
	last := c.jobs[len(c.jobs)-1]
	c.jobs = c.jobs[:len(c.jobs)-1]
	return last, true
}

// end makes all workers stop at the next job.
func (c *crew) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = true
	c.wake.Broadcast()
}

// done counts a job of dir as done and returns the directories that are now
// complete, innermost first.
func (c *crew) done(dir *node) []*node {
	c.mu.Lock()
	defer c.mu.Unlock()
	var complete []*node
	for ; dir != nil; dir = dir.parent {
		if dir.waiting--; dir.waiting > 0 {
			break
		}
		complete = append(complete, dir)
	}
	return complete
}

// finished says that a job and all that follows from it is over.
func (c *crew) finished() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open--; c.open == 0 {
		c.wake.Broadcast()
	}
}

// count adds to the report and tells how far the copy is.
func (c *crew) count(add Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Files += add.Files
	c.report.Dirs += add.Dirs
	c.report.Links += add.Links
	c.report.Bytes += add.Bytes
	if c.progress != nil {
		c.progress(c.report.Files, c.report.Bytes)
	}
}

func (c *crew) note(name string, reason Reason) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.note(path.Join(c.prefix, name), reason)
}
