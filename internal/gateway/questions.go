package gateway

import (
	"sync"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// questions keeps a bottle that asks the same DNS question again and again
// from filling the record: of equal ones, one line a repeatEvery is written,
// and the next says how many were left out. No other event is left out.
type questions struct {
	journal *journal

	mu   sync.Mutex // guards last
	last map[asked]*repeats
}

const (
	repeatEvery = 10 * time.Second
	// maxQuestions bounds what is remembered of the past.
	maxQuestions = 1024
)

// asked is what makes two questions equal.
type asked struct {
	host, kind string
	allowed    bool
}

type repeats struct {
	event   audit.Event
	written time.Time
	left    int // out, since
}

// decided records one decision about a question, or counts it.
func (q *questions) decided(r policy.Request, d policy.Decision) *refusal {
	e := eventOf(r, d)
	if !d.Allow {
		e.Decision = audit.Denied
	}
	e.Time = time.Now()
	key := asked{e.Host, e.Method, d.Allow}
	q.mu.Lock()
	defer q.mu.Unlock()
	if known := q.last[key]; known != nil {
		if e.Time.Sub(known.written) < repeatEvery {
			known.left++
			return nil
		}
		e.Repeats = known.left
	}
	if refused := q.journal.append(e); refused != nil {
		return refused
	}
	if len(q.last) >= maxQuestions {
		q.flushLocked()
	}
	if q.last == nil {
		q.last = map[asked]*repeats{}
	}
	q.last[key] = &repeats{event: e, written: e.Time}
	return nil
}

// flush writes what was left out so far.
func (q *questions) flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushLocked()
}

func (q *questions) flushLocked() {
	for _, known := range q.last {
		if known.left == 0 {
			continue
		}
		e := known.event
		e.Time, e.Repeats = time.Time{}, known.left-1 // this line is one of them
		if q.journal.append(e) != nil {
			break
		}
	}
	q.last = nil
}
