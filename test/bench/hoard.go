package main

import (
	"context"
	"errors"
	"fmt"

	"claude-bottle/test/bench/traffic"
)

// hoards are what clients try to fill the gateway with.
func hoards() []struct {
	name string
	how  traffic.Hoarding
} {
	return []struct {
		name string
		how  traffic.Hoarding
	}{
		{"heads of 60 KiB, half bodies", traffic.Hoarding{Streams: 64, Head: 60 << 10, Body: 1 << 20}},
		{"heads of 7 KiB, half bodies", traffic.Hoarding{Streams: 64, Head: 7 << 10, Body: 1 << 20}},
		{"heads of 7 KiB, no bodies", traffic.Hoarding{Streams: 64, Head: 7 << 10}},
	}
}

// measureHoards is what the gateway has resident with hostile clients of
// HTTP/2, and an origin that is in league with them.
func measureHoards(ctx context.Context, b *bench, _ string) (err error) {
	origin, err := traffic.StartOrigin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, origin.Close()) }()
	for _, hoard := range hoards() {
		for _, clients := range []int{64, 256} {
			row := fmt.Sprintf("gateway with %d hostile clients of HTTP/2, %s, resident", clients, hoard.name)
			if b.kinds != nil && !b.kinds.MatchString(row) {
				continue
			}
			most, err := b.resident(ctx, origin, true, hoard.how.Kind(), clients)
			if err != nil {
				return fmt.Errorf("%s, %d clients: %w", hoard.name, clients, err)
			}
			b.report.add(row, "MiB", 80, []float64{most}, "highest while they ran 5 s")
		}
	}
	return nil
}
