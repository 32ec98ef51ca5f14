// Package probe shows, at every launch, that a bottle is closed: what must not
// be reached is tried, and each way that must work.
//
// A check is worth what it would see, so targets are canaries of ours, each
// first shown reachable from where it should be: a listener of the launcher's
// on every address of the host, and a socket of the gateway's on each leg but
// the bottle's. Nothing else is ever sent to. Accepted, reset or answered is
// an open door; unreachable, no address, not permitted and silence are closed
// ones. Silence counts after a deadline, but not before every way that must
// work has answered, which shows that answers would have been seen; an answer
// that comes later still ends the run.
//
// A bottle that has no network is asked for less and held to more: there is
// nothing but loopback, and whatever is sent elsewhere is refused at once.
//
// The guest listens to the network itself (Bottle), since what comes late must
// be seen by a process that the agent cannot end. What a process is and may
// do, a child of its tries (Serve), which has the uid, the filter and the
// namespaces that the agent will have. The gateway looks at itself (Gateway).
// The launcher (Hosts, Verdict) holds the canaries of the host and judges.
// What is found is data; package docker and its like say what a finding means
// for a launch by calling Verdict.Err.
package probe

import (
	"context"
	"slices"
	"time"

	"claude-bottle/internal/wire"
)

// Times of a probe. A local answer takes less than a millisecond; a network
// without a way out is silent for seconds, so silence is not waited for.
const (
	// Deadline is how long silence is listened to.
	Deadline = 20 * time.Millisecond
	// Late is how long an answer may come after that and still end the run:
	// longer than the first retransmissions of TCP (RFC 6298: 1 s), and than
	// the kernel looks for a neighbour (3 s).
	Late = 4 * time.Second
	// patience bounds what must answer, on a machine as busy as it may be.
	patience = 10 * time.Second
)

// Kinds of checks. The first are doors that must be closed.
const (
	Host         = "host"         // an address of the host's
	FarSide      = "far side"     // of the bottle's default route
	EgressLeg    = "egress leg"   // of the bottle's gateway
	Neighbour    = "neighbour"    // another bottle, or another gateway
	Broadcast    = "broadcast"    // datagrams to everybody, which the host takes
	Resolver     = "resolver"     // the engine's, that it forwards nowhere
	Network      = "network"      // no address but the bottle's own
	Call         = "call"         // a system call that the filter refuses
	Files        = "files"        // of the person's, by a gateway that is the person's process
	Setting      = "setting"      // a file of the kernel's that sets something
	Mounted      = "mounted"      // of the host, and what the plan says
	Device       = "device"       // device nodes
	EngineSocket = "socket"       // an engine's socket
	Memory       = "memory"       // of the guest
	Capabilities = "capabilities" // none, in no set
	Privileges   = "privileges"   // no new ones
	Filter       = "filter"       // seccomp's, as the kernel reports it
	User         = "user"         // the agent's, and not root
	GatewayPort  = "gateway port" // of the gateway, where it must not listen
	Forwarding   = "forwarding"   // of packets, by the gateway

	// Ways that must work.
	Proxy   = "proxy"
	Names   = "names"
	Plain   = "plain"
	Program = "program"
	Control = "control" // a canary that is there
)

// check is one thing to try.
type check struct {
	kind, target string
	// silent says that no answer is as good as a refusal.
	silent bool
	try    func(ctx context.Context) outcome
}

// outcome is what came of it.
type outcome struct {
	failed  bool
	refused bool // the machine answered that nobody is there
	detail  string
}

// Of doors.
func closed(detail string) outcome { return outcome{failed: false, detail: detail} }
func open(detail string) outcome   { return outcome{failed: true, detail: detail} }

// Of ways.
func works(detail string) outcome  { return outcome{failed: false, detail: detail} }
func broken(detail string) outcome { return outcome{failed: true, detail: detail} }

// in is the outcome as the finding of a check.
func (o outcome) in(c check) wire.Finding {
	return wire.Finding{Kind: c.kind, Target: c.target, Failed: o.failed, Detail: o.detail}
}

// trial is all that is tried at once.
type trial struct {
	checks []check
	// local are checks that ask nobody, made one after the other.
	local []func() []wire.Finding
	// child makes more of those in a process of its own, and says itself how
	// long each took; nil for none.
	child func() []wire.Finding
	skip  []string // kinds that mean nothing here
	// deadline and late are those of silence.
	deadline, late time.Duration
}

// tried is a check that has ended.
type tried struct {
	index   int
	outcome outcome
	took    time.Duration
}

// run tries all. It returns when the deadline is over and all that must answer
// has; what is silent then goes on for another late, and the open doors among
// that come out of the channel, which is closed at the end. ctx ends
// everything.
func run(ctx context.Context, t trial) (wire.Probed, <-chan wire.Finding) {
	began := time.Now()
	checks := slices.DeleteFunc(t.checks, func(c check) bool { return slices.Contains(t.skip, c.kind) })
	ctx, cancel := context.WithCancel(ctx)
	local := make(chan []wire.Finding, 2)
	go func() { local <- inTurn(t.local) }()
	results := make(chan tried, len(checks))
	waiting := 1 // for local, for the child, and for all that must answer
	if t.child != nil {
		waiting++
		go func() { local <- t.child() }()
	}
	for i, c := range checks {
		limit := patience
		if c.silent {
			limit = t.deadline + t.late
		} else {
			waiting++
		}
		go func() { // ends with its limit; results has room for it
			limited, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			outcome := c.try(limited)
			results <- tried{i, outcome, time.Since(began)}
		}()
	}
	timer := time.NewTimer(t.deadline)
	defer timer.Stop()
	findings := make([]wire.Finding, len(checks))
	left := len(checks)
	for over := false; waiting > 0 || left > 0 && !over; {
		select {
		case found := <-local:
			found = slices.DeleteFunc(found, func(f wire.Finding) bool { return slices.Contains(t.skip, f.Kind) })
			findings = append(findings, found...)
			waiting--
		case r := <-results:
			findings[r.index] = r.outcome.in(checks[r.index])
			findings[r.index].Took = r.took
			left--
			if !checks[r.index].silent {
				waiting--
			}
		case <-timer.C:
			over = true
		}
	}
	took := time.Since(began)
	silence := closed("silence for " + took.Round(time.Millisecond).String())
	for i := range findings {
		if findings[i].Kind == "" {
			findings[i] = silence.in(checks[i])
			findings[i].Took = took
		}
	}
	return wire.Probed{Findings: findings, Took: took}, afterwards(checks, results, left, cancel)
}

// inTurn makes local checks. What several took together is shared among them.
func inTurn(groups []func() []wire.Finding) []wire.Finding {
	var all []wire.Finding
	for _, try := range groups {
		began := time.Now()
		findings := try()
		took := time.Since(began) / time.Duration(max(1, len(findings)))
		for i := range findings {
			findings[i].Took = took
		}
		all = append(all, findings...)
	}
	return all
}

// afterwards waits for the rest of the answers.
func afterwards(checks []check, results <-chan tried, left int, end context.CancelFunc) <-chan wire.Finding {
	answers := make(chan wire.Finding, left)
	go func() {
		defer close(answers)
		defer end()
		for range left {
			if r := <-results; r.outcome.failed {
				answers <- r.outcome.in(checks[r.index])
			}
		}
	}()
	return answers
}
