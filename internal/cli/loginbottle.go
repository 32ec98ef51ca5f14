package cli

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/term"
	"claude-bottle/internal/wire"
)

// loginName is what the login's own bottle and agent are called.
const loginName = "login"

// fromHarness runs the harness's own login in a bottle, which is removed
// without a trace. done is false when the person did not agree. The token is
// empty when it could not be told from what the screen showed.
func (opts *loginOptions) fromHarness(ctx context.Context, row harness.Harness) (token string, done bool, err error) {
	ctx, signals, release := opts.catch(ctx)
	defer release()
	h, plan, err := opts.plan(ctx, row)
	if err != nil {
		return "", false, interrupted(ctx, err)
	}
	agreed, err := confirmPlan(ctx, &startOptions{App: opts.App, Yes: opts.Yes}, plan)
	if err != nil || !agreed {
		return "", false, interrupted(ctx, err)
	}
	opts.progress.Show("launching " + plan.Name)
	b, err := h.platform.Launch(ctx, plan, environ.Secrets{})
	opts.progress.Done()
	if err != nil {
		return "", false, interrupted(ctx, withCode(exitLaunch, err))
	}
	defer func() {
		signals.enter(ctx, closing)
		closed := b.Close()
		if closed == nil {
			closed = bottle.Discard(context.WithoutCancel(ctx), h.store, b.Run(), h.platforms...)
		}
		err = withClosing(err, closed)
	}()
	signals.enter(ctx, working)
	opts.note("claude-bottle: open the URL that is shown below, marked with the mouse: a bottle writes to no clipboard, so c copies nothing; Ctrl-C leaves")
	// Claude Code's login takes no notice of Ctrl-C, and has nothing to lose.
	leave := func() { signals.cancel(interruption{os.Interrupt}) }
	heard := &screen{said: make([]byte, 0, 2*screenSize)}
	defer heard.wipe()
	exit, err := opts.attach(ctx, b, wire.Start{Argv: plan.Spec.Argv, Dir: plan.Spec.Workspace},
		attachment{terminal: opts.terminals(), input: true, signals: signals.Harness, heard: heard, leave: leave})
	if err == nil {
		err = exitOf(plan.Spec.Argv, exit)
	}
	if err != nil {
		return "", false, interrupted(ctx, err)
	}
	return heard.token(row.Tokens[0].Prefix, int(term.SizeOf(opts.Out).Cols)), true, nil
}

// plan is of a bottle that holds nothing of the person's.
func (opts *loginOptions) plan(ctx context.Context, row harness.Harness) (*host, bottle.Plan, error) {
	none := bottle.Plan{}
	h, err := opts.host(opts.Platform)
	if err != nil {
		return nil, none, err
	}
	home, err := opts.home()
	if err != nil {
		return nil, none, err
	}
	m, err := opts.manifestOf(home)
	if err != nil {
		return nil, none, withCode(exitUsage, err)
	}
	host := bottle.Host{Home: home, StateRoot: h.store.Root()}
	host.UID, host.GID = bottle.Person(opts.UID, opts.GID, opts.Lookup)
	spec, err := bottle.Resolve(bottle.Input{Manifest: m, Agent: loginName, Host: host, Lookup: opts.withoutTokens(row)})
	if err != nil {
		return nil, none, withCode(exitUsage, err)
	}
	spec.Argv = row.Login
	spec.Warnings = slices.DeleteFunc(spec.Warnings, func(w string) bool { return strings.Contains(w, "no credential") })
	opts.sweep(ctx, h)
	if err := h.settle(ctx, opts.Preferred); err != nil {
		return nil, none, withCode(exitLaunch, err)
	}
	plan, err := h.platform.Prepare(ctx, spec)
	plan.Why = h.why
	return h, plan, withCode(exitLaunch, err)
}

// manifestOf is a manifest of the login's own: a bottle with nothing but the
// way out of the agent that is named in the person's own manifest. A project's
// is not read, trusted or not: it could say who vouches for the login's server.
func (opts *loginOptions) manifestOf(home string) (*manifest.Manifest, error) {
	own := manifest.Bottle{Name: loginName, Isolation: string(bottle.Auto), Gateway: manifest.GatewayBuiltin}
	if opts.Agent != "" {
		m, err := manifest.Load(home, home)
		if err != nil {
			return nil, err
		}
		_, from, err := m.Agent(opts.Agent)
		if err != nil {
			return nil, err
		}
		e := from.Egress
		own.Isolation = from.Isolation
		own.Egress = manifest.Egress{
			CA: e.CA, Roots: e.Roots, Proxy: e.Proxy, NoProxy: e.NoProxy,
			Private: e.Private, Resolve: e.Resolve,
		}
	}
	return &manifest.Manifest{
		Bottles: map[string]manifest.Bottle{loginName: own},
		Agents:  map[string]manifest.Agent{loginName: {Name: loginName, Bottle: loginName, Harness: manifest.HarnessClaude}},
	}, nil
}

// withoutTokens is the launcher's environment without the credentials that are
// to be replaced.
func (opts *loginOptions) withoutTokens(row harness.Harness) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if slices.ContainsFunc(row.Tokens, func(t harness.Token) bool { return t.From == name }) {
			return "", false
		}
		return opts.Lookup(name)
	}
}

// screen keeps the last of what a program prints, to find its token there.
type screen struct{ said []byte } // overwritten by wipe

func (s *screen) wipe() { clear(s.said[:cap(s.said)]) }

const screenSize = 256 << 10

func (s *screen) Write(p []byte) (int, error) {
	kept := p[max(0, len(p)-screenSize):]
	if over := len(s.said) + len(kept) - cap(s.said); over > 0 { // the last screenSize bytes stay
		s.said = s.said[:copy(s.said, s.said[max(over, len(s.said)-screenSize):])]
	}
	s.said = append(s.said, kept...)
	return len(p), nil
}

// Sequences that a terminal does not show (ECMA-48, 5.4; OSC as xterm has it).
var unshown = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile("\x1b(\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(\x07|\x1b\\\\)|[@-Z\\\\^_])")
})

// token finds the last one that begins with prefix. A screen of cols cells cuts
// a long one into lines: what ends a line and goes on at the beginning of the next,
// which holds nothing else, is one. Where more may belong to it than can be told it
// is none.
func (s *screen) token(prefix string, cols int) string {
	text := unshown().ReplaceAllString(string(s.said), " ")
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	found := ""
	for i, line := range lines {
		at := strings.LastIndex(line, prefix)
		if at < 0 {
			continue
		}
		found = tokenPart(line[at:])
		if len(found) < len(line)-at { // something stands behind it
			continue
		}
		last, rest := line, lines[i+1:]
		for len(rest) > 0 && rest[0] != "" && tokenPart(rest[0]) == rest[0] {
			last, rest = rest[0], rest[1:]
			found += last
		}
		if len(rest) > 0 && rest[0] != "" && cols > 0 && len(last) >= cols-margin {
			found = ""
		}
	}
	return found
}

// margin is how far from the edge of a screen programs break their lines.
const margin = 4

// tokenPart is how much of text, from its beginning, a token may be.
func tokenPart(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if end < 0 {
		return text
	}
	return text[:end]
}
