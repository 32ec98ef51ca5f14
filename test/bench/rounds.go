package main

import (
	"context"
	"time"
)

// took is one launch: until a first program ran inside, and until all of it
// was gone again.
type took struct{ ready, whole time.Duration }

// contender is one way to do a thing.
type contender func(ctx context.Context) (took, error)

// fewest are the rounds that are made whatever time they take.
const fewest = 3

// rounds counts the rounds of one measurement. The first warms the caches and
// does not count; none begins when the time is over, once there are a few.
type rounds struct {
	most, done int
	end        time.Time
}

func (b *bench) rounds() *rounds {
	return &rounds{most: b.pairs, done: -1, end: time.Now().Add(b.limit)}
}

// next says whether there is another round, and begins it.
func (r *rounds) next() bool {
	r.done++
	return r.done <= r.most && (r.done <= fewest || time.Now().Before(r.end))
}

// warming says that the round does not count.
func (r *rounds) warming() bool { return r.done == 0 }

// takeTurns runs every contender once a round, in another order each, so that
// what else the machine does hits all of them.
func (b *bench) takeTurns(ctx context.Context, contenders []contender) ([][]took, error) {
	times := make([][]took, len(contenders))
	rounds := b.rounds()
	for rounds.next() {
		for i := range contenders {
			which := (i + rounds.done) % len(contenders)
			one, err := contenders[which](ctx)
			if err != nil {
				return nil, err
			}
			if !rounds.warming() {
				times[which] = append(times[which], one)
			}
		}
	}
	return times, nil
}

func readies(all []took) []time.Duration {
	return each(all, func(t took) time.Duration { return t.ready })
}

func wholes(all []took) []time.Duration {
	return each(all, func(t took) time.Duration { return t.whole })
}

// removals are from when the program inside had said its line to the end.
func removals(all []took) []time.Duration {
	return each(all, func(t took) time.Duration { return t.whole - t.ready })
}

func each(all []took, part func(took) time.Duration) []time.Duration {
	times := make([]time.Duration, len(all))
	for i, t := range all {
		times[i] = part(t)
	}
	return times
}
