// Package faultproxy stands on the way to a Docker engine's unix socket and
// lets things go wrong: it passes requests through, and delays, holds, cuts or
// answers by itself those that a rule names. Connections that are taken over
// by a stream (attach, exec) pass through, half closed ends included.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Fault is what happens to a request.
type Fault int

// The faults.
const (
	// Pass forwards it, after Rule.Delay.
	Pass Fault = iota
	// Answer answers with Rule.Status and Rule.Message; the engine never sees
	// the request.
	Answer
	// CutBefore ends the connection; the engine never sees the request.
	CutBefore
	// CutAfter ends the connection when the engine has answered: it did what
	// it was asked to, and nobody learns of it.
	CutAfter
	// Late ends the connection at once, calls Rule.Held, and has the engine do
	// what it was asked to when that returns; then it calls Rule.Done.
	Late
	// Hold calls Rule.Held, and forwards the request when that returns.
	Hold
	// Hang never answers, until the client goes away or the proxy ends.
	Hang
)

// Rule names requests and what happens to them.
type Rule struct {
	// Match is searched for in "METHOD /path?query", without the API's
	// version; nil means each.
	Match *regexp.Regexp
	// N is which of those that match, counted from 1; 0 means each.
	N       int
	Fault   Fault
	Delay   time.Duration
	Status  int
	Message string
	Held    func()
	Done    func()
}

// Proxy is one socket.
type Proxy struct {
	socket string

	mu       sync.Mutex // guards what follows
	upstream string
	listener net.Listener
	open     map[net.Conn]bool
	rules    []*counted
	seen     []string
	hits     int
	ended    chan struct{} // closed by Close: what hangs goes on

	all sync.WaitGroup // of goroutines
}

// counted is a rule with how many requests matched.
type counted struct {
	Rule
	matched int
}

// Start listens in dir. upstream is the engine's address, unix://PATH.
func Start(ctx context.Context, upstream, dir string) (*Proxy, error) {
	p := &Proxy{socket: filepath.Join(dir, "engine.sock"), open: map[net.Conn]bool{}, ended: make(chan struct{})}
	if err := p.To(upstream); err != nil {
		return nil, err
	}
	return p, p.Up(ctx)
}

// To makes another engine the one that answers, to who connects from now on.
func (p *Proxy) To(upstream string) error {
	path, ok := strings.CutPrefix(upstream, "unix://")
	if !ok {
		return fmt.Errorf("the engine's address %s is no unix socket", upstream)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.upstream = path
	return nil
}

func (p *Proxy) to() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.upstream
}

// Host is the proxy's address, as DOCKER_HOST has it.
func (p *Proxy) Host() string { return "unix://" + p.socket }

// Rules replaces all rules, and forgets what was seen.
func (p *Proxy) Rules(rules ...Rule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rules, p.seen, p.hits = nil, nil, 0
	for _, rule := range rules {
		p.rules = append(p.rules, &counted{Rule: rule})
	}
}

// Seen are the requests since the last call of Rules, as rules see them.
func (p *Proxy) Seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string{}, p.seen...)
}

// Hits is how many requests a rule was applied to since the last call of
// Rules.
func (p *Proxy) Hits() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hits
}

// Up listens, as an engine that has started.
func (p *Proxy) Up(ctx context.Context) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", p.socket)
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.listener = listener
	p.mu.Unlock()
	p.all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.serve(conn) })
		}
	})
	return nil
}

// Down ends the listening and every connection, as an engine that was killed:
// its socket's file stays, and refuses. With gone the file goes too.
func (p *Proxy) Down(gone bool) error {
	p.mu.Lock()
	listener := p.listener
	for conn := range p.open {
		_ = conn.Close()
	}
	p.mu.Unlock()
	if unix, ok := listener.(*net.UnixListener); ok {
		unix.SetUnlinkOnClose(gone)
	}
	return listener.Close()
}

// Again is Up after Down.
func (p *Proxy) Again(ctx context.Context) error {
	if err := os.Remove(p.socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return p.Up(ctx)
}

// Close ends everything.
func (p *Proxy) Close() {
	close(p.ended)
	_ = p.Down(true) // it may be down
	p.all.Wait()
}

// track remembers a connection until the returned function is called.
func (p *Proxy) track(conn net.Conn) (forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[conn] = true
	return func() {
		_ = conn.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.open, conn)
	}
}

var version = regexp.MustCompile(`^/v\d+\.\d+`)

// rule is what applies to a request: the first that matches.
func (p *Proxy) rule(r *http.Request) Rule {
	line := r.Method + " " + version.ReplaceAllString(r.URL.RequestURI(), "")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, line)
	for _, rule := range p.rules {
		if rule.Match != nil && !rule.Match.MatchString(line) {
			continue
		}
		rule.matched++
		if rule.N == 0 || rule.matched == rule.N {
			p.hits++
			return rule.Rule
		}
	}
	return Rule{}
}
