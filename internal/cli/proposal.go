package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/preset"
	"claude-bottle/internal/wire"
)

// proposal is one way to allow what is asked for: a rule, or a preset.
type proposal struct {
	rule policy.Rule
	kind policy.Kind // of the request
	// preset is the name of the preset whose rule for the host this is, and
	// rest are its rules for other hosts.
	preset string
	rest   []policy.Rule
}

func (p proposal) text() string {
	if p.preset == "" {
		return p.rule.TextFor(p.kind)
	}
	hosts := []string{p.rule.Host}
	for _, rule := range p.rest {
		hosts = append(hosts, rule.Host)
	}
	return "preset " + p.preset + ": GET and HEAD to " + strings.Join(hosts, ", ")
}

// proposals are the ways to allow what is asked for: rules, the narrowest
// first, then presets that the host belongs to.
func proposals(q wire.Question, presets preset.Table) []proposal {
	port := q.Port
	if port == 80 || port == 443 {
		port = 0
	}
	host := policy.Rule{Host: q.Host, Port: port}
	all := []proposal{{rule: host}}
	request := policy.Request{Kind: policy.Kind(q.Kind), Port: q.Port, Method: q.Method, Path: q.Path}
	if one, ok := policy.Narrowest(q.Host, request); ok && len(one.Paths[0]) <= maxShownPath {
		all = []proposal{{rule: one, kind: request.Kind}, {rule: host}}
	} else if port != 0 && q.Method == "" {
		all = append(all, proposal{rule: policy.Rule{Host: q.Host, Port: port, TCP: true}})
	}
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		if p, ok := byPreset(q, name, presets[name]); ok {
			all = append(all, p)
		}
	}
	return all
}

// byPreset is the proposal of a preset that has the host, and the port where
// one is asked for, of a question.
func byPreset(q wire.Question, name string, hosts []preset.Host) (p proposal, ok bool) {
	p.preset = name
	for _, host := range hosts {
		rule := policy.Rule{Host: host.Host, Port: host.Port, Methods: []string{"GET"}, Paths: host.Paths}
		if !ok && host.Host == q.Host && (q.Port == 0 || q.Port == host.Port) {
			p.rule, ok = rule, true
			continue
		}
		p.rest = append(p.rest, rule)
	}
	return p, ok
}

// presetPatience is how long a question waits for what the person's package
// clients say of their registries.
const presetPatience = time.Second

// presetSearch looks all presets up while the person waits for questions.
// Those whose client is not there, or says nothing, are left out.
type presetSearch struct {
	searching sync.WaitGroup
	found     chan struct{} // closed at the end
	mu        sync.Mutex    // guards table
	table     preset.Table
}

// searchPresets ends with ctx. What image says comes before what the person's
// clients do, as in the plan.
func (a *App) searchPresets(ctx context.Context, image preset.Image) *presetSearch {
	s := &presetSearch{found: make(chan struct{}), table: preset.Table{}}
	home, err := a.home()
	if err != nil {
		close(s.found)
		return s
	}
	clients := preset.Clients{Home: home, Lookup: a.Lookup, Image: image}
	for _, name := range preset.Names() {
		s.searching.Go(func() {
			found, err := clients.Find(ctx, []string{name})
			if err != nil {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			maps.Copy(s.table, found)
		})
	}
	go func() { // ends with the search
		s.searching.Wait()
		close(s.found)
	}()
	return s
}

// all is what was found, waiting a moment for it.
func (s *presetSearch) all() preset.Table {
	timer := time.NewTimer(presetPatience)
	defer timer.Stop()
	select {
	case <-s.found:
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.table)
}

func (s *presetSearch) wait() { <-s.found }
