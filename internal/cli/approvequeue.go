package cli

import (
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/wire"
)

// queue are the questions that a person has yet to answer, in their order.
type queue []pending

type pending struct {
	wire.Question
	until time.Time // the request waits; zero when it does no longer
}

// with is the queue with what is known of a question now. The first stays while
// it is being asked.
func (all queue) with(q wire.Question, asking bool) queue {
	now := pending{Question: q}
	if q.Held > 0 {
		now.until = time.Now().Add(q.Held)
	}
	for i := range all {
		if all[i].ID != q.ID {
			continue
		}
		if q.Over && (i > 0 || !asking) {
			return append(all[:i:i], all[i+1:]...)
		}
		all[i] = now
		return all
	}
	if q.Over {
		return all
	}
	return append(all, now)
}

// state says what becomes of the request that the first question is about.
func (all queue) state() string {
	first, state := all[0], ""
	switch left := time.Until(first.until).Round(time.Second); {
	case left <= 0:
		state = "it was refused; an answer is for the next time"
	case first.Kind == string(policy.DNS):
		state = "a look-up waits for some seconds, and is then repeated"
	default:
		state = "it waits for " + typed(left)
	}
	if more := len(all) - 1; more > 0 {
		state += "; then " + count(more, "more", "more")
	}
	return state
}
