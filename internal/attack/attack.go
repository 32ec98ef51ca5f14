// Package attack is what `claude-bottle try` runs inside a bottle: the things
// that somebody who wants out would try first, and the few that must work, in
// words for people who see a bottle for the first time. The isolation probe of
// each launch (package probe) tries more, and earlier; this is for reading.
//
// Nothing is sent to anybody but the launcher's canaries, the bottle's own
// gateway, and what answers on the bottle's own network.
package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"
)

// Targets is what the launcher knows and an attacker could guess.
type Targets struct {
	// Canaries are the launcher's listeners on the host's addresses.
	Canaries []netip.AddrPort `json:"canaries"`
	// Allowed is a name and port that the bottle's policy lets through; empty
	// for none.
	Allowed     string `json:"allowed,omitempty"`
	AllowedPort int    `json:"allowedPort,omitempty"`
	// Says is the page of that host, where the launcher serves it. Without it
	// the name is looked up and not asked.
	Says string `json:"says,omitempty"`
	// Trap is an allowed name and port that leads to this computer.
	Trap string `json:"trap,omitempty"`
	// Refused is a name that the policy does not know.
	Refused string `json:"refused"`
	// Files exist on the host and are none of the bottle's.
	Files []string `json:"files"`
	// Variables are of the launcher and carry secrets.
	Variables []string `json:"variables"`
	// Sockets are the engine's.
	Sockets []string `json:"sockets"`
	// Workspace is where the agent works.
	Workspace string `json:"workspace"`
	// Program is our own inside.
	Program string `json:"program"`
	UID     int    `json:"uid"`
	// Nested bottles may make namespaces: that is no attack there.
	Nested bool `json:"nested,omitempty"`
}

// Attempt is one row of the table.
type Attempt struct {
	Tried    string `json:"tried"`
	Happened string `json:"happened"`
	// StoppedBy says what kept it from working; empty for what worked.
	StoppedBy string `json:"stoppedBy,omitempty"`
	// Must says that it has to work; else it has to be stopped.
	Must bool `json:"must,omitempty"`
	// OK says that it came out as it has to.
	OK bool `json:"ok"`
}

// result is what came of an attempt.
type result struct {
	worked   bool
	happened string
	by       string
}

func worked(format string, args ...any) result {
	return result{worked: true, happened: fmt.Sprintf(format, args...)}
}

func stopped(by, format string, args ...any) result {
	return result{happened: fmt.Sprintf(format, args...), by: by}
}

// attempt is one thing to try.
type attempt struct {
	tried string
	must  bool
	// silent says that no answer is likely, since nobody is there to refuse.
	silent bool
	try    func(ctx context.Context) result
}

// How long an attempt over the network listens: where there is no way out it
// is silent; who answers may be busy.
const (
	silence  = time.Second
	patience = 10 * time.Second
)

// Run reads Targets (JSON) and writes the attempts, in the order of the table.
// What listens goes on at once; what could change the process comes after.
func Run(ctx context.Context, in io.Reader, out io.Writer) error {
	var targets Targets
	if err := json.NewDecoder(in).Decode(&targets); err != nil {
		return fmt.Errorf("read what to attack: %w", err)
	}
	attempts := tryAll(ctx, networkAttempts(targets))
	for _, a := range localAttempts(targets) {
		attempts = append(attempts, a.run(ctx))
	}
	return json.NewEncoder(out).Encode(order(attempts))
}

func tryAll(ctx context.Context, list []attempt) []Attempt {
	done := make([]Attempt, len(list))
	var all sync.WaitGroup
	for i, a := range list {
		all.Go(func() {
			limit := patience
			if a.silent {
				limit = silence
			}
			limited, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			done[i] = a.run(limited)
		})
	}
	all.Wait()
	return done
}

func (a attempt) run(ctx context.Context) Attempt {
	r := a.try(ctx)
	return Attempt{Tried: a.tried, Happened: r.happened, StoppedBy: r.by, Must: a.must, OK: r.worked == a.must}
}

// order puts what must work at the end.
func order(attempts []Attempt) []Attempt {
	var ordered []Attempt
	for _, must := range []bool{false, true} {
		for _, a := range attempts {
			if a.Must == must {
				ordered = append(ordered, a)
			}
		}
	}
	return ordered
}
