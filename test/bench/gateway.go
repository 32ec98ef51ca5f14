package main

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"claude-bottle/test/bench/traffic"
)

// How the gateway is measured.
const (
	burst      = 500 * time.Millisecond // one contender's turn
	pacedRate  = 1000                   // exchanges a second
	pacedTime  = 3 * time.Second
	manyOpen   = 1000
	manyBodies = 100
)

// crowds are how many clients there are at once.
var crowds = []int{1, 16, 256}

// contest is one kind of exchange through ours and through squid.
type contest struct {
	kind    traffic.Kind
	inspect bool
	crowds  []int
	// least is what the ratio of the rates must be at least.
	least float64
}

func contests() []contest {
	few := []int{1, 16}
	return []contest{
		{traffic.Tunnels, false, crowds, 0.95},
		{traffic.Plain, false, crowds, 1},
		{traffic.Secure, false, crowds, 0.95},
		{traffic.Secure, true, crowds, 1},
		{traffic.Post4, false, crowds, 1},
		{traffic.Post64, false, crowds, 1},
		{traffic.Download, false, few, 0.95},
		{traffic.Upload, false, few, 0.95},
	}
}

// row is what the contest's rows begin with.
func (c contest) row(clients int) string {
	name := c.kind.Name
	if c.inspect {
		name = "inspected " + name
	}
	return fmt.Sprintf("gateway: %s, %d at once", name, clients)
}

// measureGateway sets the gateway beside squid, and beside nothing at all, on
// loopback.
func measureGateway(ctx context.Context, b *bench, _ string) (err error) {
	origin, err := traffic.StartOrigin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, origin.Close()) }()
	for _, inspect := range []bool{false, true} {
		if err := b.contend(ctx, origin, inspect); err != nil {
			return err
		}
	}
	if b.kinds != nil {
		return nil
	}
	if err := b.signing(ctx, origin); err != nil {
		return err
	}
	return b.gatewayMemory(ctx, origin)
}

// signing is what is added to small posts over TLS that come at a fixed rate,
// are scanned, and have a secret put in: beside a gateway that only inspects
// and scans, beside squid, which inspects alone, and beside nothing.
func (b *bench) signing(ctx context.Context, origin *traffic.Origin) (err error) {
	var contenders []*proxy
	for _, start := range []func() (*proxy, error){
		func() (*proxy, error) { return b.startGateway(ctx, origin, running{inspect: true, signing: true}) },
		func() (*proxy, error) { return b.startGateway(ctx, origin, running{inspect: true}) },
		func() (*proxy, error) { return b.startSquid(ctx, origin, true) },
	} {
		p, err := start()
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.stop()) }()
		contenders = append(contenders, p)
	}
	halves, tails, err := b.paced(ctx, origin, append(contenders, direct(origin)), func(p *proxy) traffic.Kind {
		return traffic.Signed(cmp.Or(p.placeholder, "a-token-of-its-own"))
	})
	if err != nil {
		return err
	}
	none := len(contenders)
	for i, what := range []string{"brokered and scanned", "scanned alone", "inspected by squid"} {
		most := map[bool]float64{true: 2}[i == 0]
		what = fmt.Sprintf("latency added to posts of 3 KiB, %s, at %d/s: ", what, pacedRate)
		b.report.add(what+"p50", "ms", 0, differences(halves[i], halves[none]), "")
		b.report.add(what+"p99", "ms", most, differences(tails[i], tails[none]), "")
	}
	return b.atRest(ctx, origin)
}

// paced lets contenders take turns at a fixed rate, and returns the p50 and the
// p99 of each round, in milliseconds.
func (b *bench) paced(ctx context.Context, origin *traffic.Origin, contenders []*proxy, kind func(*proxy) traffic.Kind) (halves, tails [][]float64, err error) {
	halves, tails = make([][]float64, len(contenders)), make([][]float64, len(contenders))
	rounds := b.rounds()
	for rounds.next() {
		for i := range contenders {
			which := (i + rounds.done) % len(contenders)
			p := contenders[which]
			took, err := traffic.Paced(ctx, p.path(origin), kind(p), 64, pacedRate, pacedTime)
			if err != nil {
				return nil, nil, fmt.Errorf("%s: %w", p.name, err)
			}
			if rounds.warming() {
				continue
			}
			slices.Sort(took)
			times := milliseconds(took)
			halves[which] = append(halves[which], times[len(times)/2])
			tails[which] = append(tails[which], times[len(times)*99/100])
		}
	}
	return halves, tails, nil
}

// restTime is more than a gateway takes to give memory back once it has nothing
// to do.
const restTime = 4 * time.Second

// atRest is what a gateway with a secret has resident, before anything was
// asked of it and once it has built what it scans with, after restTime each.
func (b *bench) atRest(ctx context.Context, origin *traffic.Origin) (err error) {
	p, err := b.startGateway(ctx, origin, running{inspect: true, signing: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	for _, when := range []string{"before anything", "after a request that was brokered and scanned"} {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(restTime):
		}
		used, err := memoryOf(p.pids[0])
		if err != nil {
			return err
		}
		b.report.add("gateway at rest, "+when+", resident", "MiB", 15, []float64{used.resident}, "")
		release, err := traffic.Hold(ctx, p.path(origin), traffic.Signed(p.placeholder), 1)
		if err != nil {
			return err
		}
		if err := release(); err != nil {
			return err
		}
	}
	return nil
}

// contend starts ours and squid and lets them take turns.
func (b *bench) contend(ctx context.Context, origin *traffic.Origin, inspect bool) (err error) {
	ours, err := b.startOurs(ctx, origin, inspect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	squid, err := b.startSquid(ctx, origin, inspect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, squid.stop()) }()
	for _, c := range contests() {
		if c.inspect != inspect {
			continue
		}
		for _, clients := range c.crowds {
			if b.kinds != nil && !b.kinds.MatchString(c.row(clients)) {
				continue
			}
			if err := b.turns(ctx, origin, c, clients, ours, squid); err != nil {
				return fmt.Errorf("%s, %d clients: %w", c.kind.Name, clients, err)
			}
		}
	}
	if inspect && b.kinds == nil {
		return b.latency(ctx, origin, ours, squid)
	}
	return nil
}

// turn is what one contender did in one.
type turn struct{ rate, cpu float64 }

func (b *bench) turns(ctx context.Context, origin *traffic.Origin, c contest, clients int, ours, squid *proxy) error {
	contenders := []*proxy{ours, squid, direct(origin)}
	done := make([][]turn, len(contenders))
	rounds := b.rounds()
	for rounds.next() {
		for i := range contenders {
			which := (i + rounds.done) % len(contenders)
			one, err := contenders[which].turn(ctx, origin, c.kind, clients)
			if err != nil {
				return fmt.Errorf("%s: %w", contenders[which].name, err)
			}
			if !rounds.warming() {
				done[which] = append(done[which], one)
			}
		}
	}
	name := c.row(clients)
	rate := func(t turn) float64 { return t.rate }
	cpu := func(t turn) float64 { return t.cpu }
	unit, cost := "/s", "µs"
	scale := 1.0
	if c.kind.Bulk {
		unit, cost, scale = " MB/s", "µs a MB", 1e-6
	}
	b.report.atLeast(name+", of squid's rate", c.least, ratios(done[0], done[1], rate), fmt.Sprintf("%.0f%s of %.0f, without any %.0f",
		scale*median(values(done[0], rate)), unit, scale*median(values(done[1], rate)), scale*median(values(done[2], rate))))
	b.report.add(name+", of squid's processor time", "", 0, ratios(done[0], done[1], cpu),
		fmt.Sprintf("%.0f %s of %.0f", median(values(done[0], cpu)), cost, median(values(done[1], cpu))))
	return nil
}

// turn runs one burst, with the processor time that the proxy took for it.
func (p *proxy) turn(ctx context.Context, origin *traffic.Origin, kind traffic.Kind, clients int) (turn, error) {
	var before, after time.Duration
	look := func(at *time.Duration) func() error {
		return func() (err error) {
			*at, err = p.cpu()
			return err
		}
	}
	load, err := traffic.Run(ctx, p.path(origin), kind, clients, burst, look(&before), look(&after))
	if err != nil {
		return turn{}, err
	}
	per := float64(load.Exchanges)
	if kind.Bulk {
		per = float64(load.Bytes) / 1e6
	}
	return turn{rate: load.Rate(kind), cpu: float64((after - before).Microseconds()) / per}, nil
}

// latency is what each adds to requests over TLS that come at a fixed rate.
func (b *bench) latency(ctx context.Context, origin *traffic.Origin, ours, squid *proxy) error {
	contenders := []*proxy{ours, squid, direct(origin)}
	halves, tails, err := b.paced(ctx, origin, contenders, func(*proxy) traffic.Kind { return traffic.Secure })
	if err != nil {
		return err
	}
	for i, p := range contenders[:2] {
		most := map[bool]float64{true: 2}[p == ours]
		b.report.add(fmt.Sprintf("latency added to inspected requests at %d/s, %s: p50", pacedRate, p.name), "ms", 0, differences(halves[i], halves[2]), "")
		b.report.add(fmt.Sprintf("latency added to inspected requests at %d/s, %s: p99", pacedRate, p.name), "ms", most, differences(tails[i], tails[2]), "")
	}
	return nil
}

// gatewayMemory is what ours has resident with much open.
func (b *bench) gatewayMemory(ctx context.Context, origin *traffic.Origin) (err error) {
	tunnels, err := b.resident(ctx, origin, false, traffic.Upload.Once(1<<10), manyOpen)
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("gateway with %d tunnels open, resident", manyOpen), "MiB", 60, []float64{tunnels}, "")
	bodies, err := b.resident(ctx, origin, true, traffic.Endless(1e9), manyBodies)
	if err != nil {
		return err
	}
	b.report.add(fmt.Sprintf("gateway inspecting %d answers of 1 GB, resident", manyBodies), "MiB", 80, []float64{bodies}, "highest while they ran 5 s")
	return nil
}

// resident starts a gateway, opens clients, and returns the most that it had.
func (b *bench) resident(ctx context.Context, origin *traffic.Origin, inspect bool, kind traffic.Kind, clients int) (most float64, err error) {
	ours, err := b.startOurs(ctx, origin, inspect)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	release, err := traffic.Hold(ctx, ours.path(origin), kind, clients)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, release()) }()
	sample := time.NewTicker(100 * time.Millisecond)
	defer sample.Stop()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		<-sample.C
		used, err := memoryOf(ours.pids[0])
		if err != nil {
			return 0, err
		}
		most = math.Max(most, used.resident)
	}
	return most, nil
}

func values(turns []turn, of func(turn) float64) []float64 {
	out := make([]float64, len(turns))
	for i, t := range turns {
		out[i] = of(t)
	}
	return out
}

func ratios(ours, peers []turn, of func(turn) float64) []float64 {
	out := make([]float64, len(ours))
	for i := range ours {
		out[i] = of(ours[i]) / math.Max(of(peers[i]), 1e-9)
	}
	return out
}

func differences(ours, direct []float64) []float64 {
	out := make([]float64, len(ours))
	for i := range ours {
		out[i] = ours[i] - direct[i]
	}
	return out
}

// pool trusts certificates in PEM.
func pool(certificates ...[]byte) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certificates {
		p.AppendCertsFromPEM(c)
	}
	return p
}
