package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"claude-bottle/test/bench/traffic"
)

// roleTraffic makes this program one that makes load, as it is told on its
// standard input: within a bottle, or beside a gateway.
const roleTraffic = "traffic"

// order is one turn of load.
type order struct {
	Proxy              string // HOST:PORT; empty is the one that the environment names
	Plain, Secure, Raw int    // the origin's ports
	Roots              []byte // that are trusted; empty is the system's
	Kind               string
	Clients            int
	During             time.Duration
}

// done is what came of an order.
type done struct {
	Rate      float64
	Exchanges int
	Failed    string
}

// makeTraffic does what it is told until there is no more.
func makeTraffic(in io.Reader, out io.Writer) error {
	fmt.Fprintln(out, "ready")
	orders, results := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o order
		if err := orders.Decode(&o); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		result, err := o.run()
		if err != nil {
			result.Failed = err.Error()
		}
		if err := results.Encode(result); err != nil {
			return err
		}
	}
}

func (o order) run() (done, error) {
	kinds := withinKinds()
	i := slices.IndexFunc(kinds, func(k traffic.Kind) bool { return k.Name == o.Kind })
	if i < 0 {
		return done{}, fmt.Errorf("no kind %q", o.Kind)
	}
	path := traffic.Path{
		Origin: &traffic.Origin{Plain: o.Plain, Secure: o.Secure, Raw: o.Raw},
		Proxy:  cmp.Or(o.Proxy, strings.TrimPrefix(os.Getenv("HTTP_PROXY"), "http://")),
	}
	if len(o.Roots) > 0 {
		path.Roots = pool(o.Roots)
	}
	nothing := func() error { return nil }
	load, err := traffic.Run(context.Background(), path, kinds[i], o.Clients, o.During, nothing, nothing)
	return done{Rate: load.Rate(kinds[i]), Exchanges: load.Exchanges + o.Clients}, err
}

// withinKinds are the kinds of load that are compared. TLS is inspected.
func withinKinds() []traffic.Kind {
	return []traffic.Kind{traffic.Tunnels, traffic.Plain, traffic.Secure, traffic.Download, traffic.Upload}
}

// loader is one that makes load as it is told, with the gateway that it uses.
type loader struct {
	*held
	proxy   *proxy
	results *json.Decoder
}

func (l *loader) turn(o order) (turn, error) {
	before, err := l.proxy.cpu()
	if err != nil {
		return turn{}, err
	}
	if err := json.NewEncoder(l.stdin).Encode(o); err != nil {
		return turn{}, err
	}
	var result done
	if err := l.results.Decode(&result); err != nil {
		return turn{}, fmt.Errorf("%w\n%s", err, l.stderr.String())
	}
	if result.Failed != "" {
		return turn{}, errors.New(result.Failed)
	}
	after, err := l.proxy.cpu()
	return turn{rate: result.Rate, cpu: float64((after - before).Microseconds()) / float64(result.Exchanges)}, err
}

// startLoader waits until it takes orders.
func startLoader(cmd *exec.Cmd) (*loader, error) {
	h, err := hold(cmd)
	if err != nil {
		return nil, err
	}
	if err := h.ready(); err != nil {
		return nil, errors.Join(fmt.Errorf("%w\n%s", err, h.stderr.String()), h.end())
	}
	return &loader{held: h, results: json.NewDecoder(h.stdout)}, nil
}

// measureWithin sets load in a native bottle, through its gateway, beside the
// same load through the same gateway by itself: the same program makes it, with
// the same policy, towards the same origin, all on loopback. A bottle's gateway
// and each program in it are in sessions of their own, among which Linux shares
// out busy processors (sched(7), autogroup); so are those beside it.
func measureWithin(ctx context.Context, b *bench, _ string) (err error) {
	origin, err := traffic.StartOrigin(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, origin.Close()) }()
	return b.eachPerson(func(p *person) error {
		own := *p
		own.home = filepath.Join(p.home, "load") // with a manifest of its own
		return own.within(ctx, origin)
	})
}

func (p *person) within(ctx context.Context, origin *traffic.Origin) (err error) {
	work := filepath.Join(p.home, "work")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := errors.Join(os.MkdirAll(work, 0o755), copyProgram(self, filepath.Join(work, "load")), p.writeTraffic(origin)); err != nil {
		return err
	}
	if p.credential != nil {
		if err := os.Chown(p.home, ordinary, ordinary); err != nil {
			return err
		}
	}
	policy, err := output(p.ours(ctx, "policy", "traffic"))
	if err != nil {
		return err
	}
	alone, err := p.startWith(ctx, policy, running{inspect: true, apart: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, alone.stop()) }()
	beside := p.as(exec.CommandContext(ctx, filepath.Join(work, "load")))
	beside.Env = append(beside.Env, roleVariable+"="+roleTraffic)
	beside.SysProcAttr.Setpgid, beside.SysProcAttr.Setsid = false, true
	var loaders [2]*loader
	for i, cmd := range []*exec.Cmd{p.ours(ctx, "start", "traffic", "--yes", "--cwd"), beside} {
		if i == 0 {
			cmd.Dir = work
		}
		if loaders[i], err = startLoader(cmd); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, loaders[i].end()) }()
	}
	loaders[1].proxy = alone
	if loaders[0].proxy, err = gatewayBelow(loaders[0].cmd.Process.Pid); err != nil {
		return err
	}
	base := order{Plain: origin.Plain, Secure: origin.Secure, Raw: origin.Raw, During: burst}
	for _, kind := range withinKinds() {
		for _, clients := range []int{1, 16} {
			o := base
			o.Kind, o.Clients = kind.Name, clients
			if err := p.compareWithin(o, kind, alone, loaders); err != nil {
				return fmt.Errorf("%s, %d clients: %w", kind.Name, clients, err)
			}
		}
	}
	return nil
}

func (p *person) compareWithin(o order, kind traffic.Kind, alone *proxy, loaders [2]*loader) error {
	var times [2][]turn
	rounds := p.rounds()
	for rounds.next() {
		for i := range loaders {
			which := (i + rounds.done) % len(loaders)
			mine := o
			if which == 1 {
				mine.Proxy, mine.Roots = alone.address, alone.roots
			}
			one, err := loaders[which].turn(mine)
			if err != nil {
				return err
			}
			if !rounds.warming() {
				times[which] = append(times[which], one)
			}
		}
	}
	rate := func(t turn) float64 { return t.rate }
	cpu := func(t turn) float64 { return t.cpu }
	unit, scale := "/s", 1.0
	if kind.Bulk {
		unit, scale = " MB/s", 1e-6
	}
	name := fmt.Sprintf("in a native bottle %s: %s, %d at once", p.name, kind.Name, o.Clients)
	p.report.atLeast(name+", of the gateway's rate by itself", 0.95, ratios(times[0], times[1], rate), fmt.Sprintf("%.0f%s of %.0f",
		scale*median(values(times[0], rate)), unit, scale*median(values(times[1], rate))))
	p.report.add(name+", of its processor time by itself", "", 0, ratios(times[0], times[1], cpu), "")
	return nil
}

// writeTraffic writes the manifest of the bottle that makes load.
func (p *person) writeTraffic(origin *traffic.Origin) error {
	rule := func(port int, inspect string) map[string]any {
		return map[string]any{"host": traffic.Name, "port": port, "inspect": inspect}
	}
	manifest := map[string]any{
		"bottles": map[string]any{"traffic": map[string]any{
			"env": map[string]string{roleVariable: roleTraffic},
			"egress": map[string]any{
				"rules":   []any{rule(origin.Plain, "auto"), rule(origin.Secure, "always"), rule(origin.Raw, "auto")},
				"private": []string{"127.0.0.0/8"}, "resolve": map[string]string{traffic.Name: "127.0.0.1"}, "ca": "roots.pem",
			},
		}},
		"agents": map[string]any{"traffic": map[string]any{"bottle": "traffic", "harness": map[string]any{"command": []string{"./load"}}}},
	}
	text, err := json.Marshal(manifest)
	return errors.Join(err,
		os.WriteFile(filepath.Join(p.home, "claude-bottle.json"), text, 0o644), //nolint:gosec // G306: another user reads it
		os.WriteFile(filepath.Join(p.home, "roots.pem"), origin.Roots, 0o644))  //nolint:gosec // G306: likewise
}

// gatewayBelow is the gateway of a native bottle's launcher.
func gatewayBelow(launcher int) (*proxy, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	below := descendants(all, launcher)
	i := slices.IndexFunc(all, func(o process) bool { return below[o.pid] && len(o.args) > 1 && o.args[1] == "supervise" })
	if i < 0 {
		return nil, errors.New("no supervisor runs below a launcher")
	}
	return &proxy{name: "its gateway", pids: []int{all[i].pid}}, nil
}
