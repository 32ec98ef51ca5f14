package traffic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Load is what clients did.
type Load struct {
	Exchanges int
	Bytes     int64
	Took      time.Duration
}

// Rate is exchanges a second; of bulk, bytes a second.
func (l Load) Rate(kind Kind) float64 {
	if kind.Bulk {
		return float64(l.Bytes) / l.Took.Seconds()
	}
	return float64(l.Exchanges) / l.Took.Seconds()
}

// Run lets clients do one kind of exchange, each as fast as it can, for that
// long. Each has done one before the time begins, and before begun is called;
// over is called at the time's end. The first error ends it.
func Run(ctx context.Context, path Path, kind Kind, clients int, during time.Duration, begun, over func() error) (load Load, err error) {
	open, err := begin(ctx, path, kind, clients)
	defer func() { err = errors.Join(err, closeAll(open)) }()
	if err != nil {
		return load, err
	}
	if err := begun(); err != nil {
		return load, err
	}
	var mu sync.Mutex // guards load
	start := time.Now()
	var all errgroup.Group
	for _, c := range open {
		all.Go(func() error {
			exchanges, moved := 0, int64(0)
			for time.Since(start) < during && ctx.Err() == nil {
				n, err := c.exchange()
				if err != nil {
					return fmt.Errorf("%s, after %d of this client: %w", kind.Name, exchanges, err)
				}
				exchanges, moved = exchanges+1, moved+n
			}
			mu.Lock()
			defer mu.Unlock()
			load.Exchanges, load.Bytes = load.Exchanges+exchanges, load.Bytes+moved
			return nil
		})
	}
	err = all.Wait()
	load.Took = time.Since(start)
	return load, errors.Join(err, over())
}

// begin opens the clients, a few at a time, and lets each do one exchange, so
// that what is made at the first one does not count.
func begin(ctx context.Context, path Path, kind Kind, clients int) ([]*client, error) {
	open := make([]*client, clients)
	var all errgroup.Group
	all.SetLimit(16)
	for i := range open {
		all.Go(func() (err error) {
			if open[i], err = kind.begin(ctx, path); err == nil {
				_, err = open[i].exchange()
			}
			return err
		})
	}
	err := all.Wait()
	return slices.DeleteFunc(open, func(c *client) bool { return c == nil }), err
}

func closeAll(clients []*client) error {
	var err error
	for _, c := range clients {
		err = errors.Join(err, c.close())
	}
	return err
}

// Paced begins an exchange at fixed times, rate a second, whichever of the
// clients is free, and returns how long each took from when it was due, so
// that one that waits for another counts.
func Paced(ctx context.Context, path Path, kind Kind, clients, rate int, during time.Duration) (took []time.Duration, err error) {
	open, err := begin(ctx, path, kind, clients)
	defer func() { err = errors.Join(err, closeAll(open)) }()
	if err != nil {
		return nil, err
	}
	count := int(during.Seconds() * float64(rate))
	due := make(chan time.Time, count)
	var mu sync.Mutex // guards took
	var all errgroup.Group
	for _, c := range open {
		all.Go(func() error {
			for at := range due {
				if _, err := c.exchange(); err != nil {
					return err
				}
				mu.Lock()
				took = append(took, time.Since(at))
				mu.Unlock()
			}
			return nil
		})
	}
	start := time.Now()
	pace := time.NewTicker(time.Second / time.Duration(rate))
	defer pace.Stop()
	for i := range count {
		at := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		for time.Now().Before(at) {
			<-pace.C
		}
		due <- at
	}
	close(due)
	return took, all.Wait()
}

// Hold opens clients and keeps them open until the returned function is called.
func Hold(ctx context.Context, path Path, kind Kind, clients int) (release func() error, err error) {
	open, err := begin(ctx, path, kind, clients)
	if err != nil {
		return nil, errors.Join(err, closeAll(open))
	}
	return func() error { return closeAll(open) }, nil
}
