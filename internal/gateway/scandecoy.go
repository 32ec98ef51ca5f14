package gateway

import (
	"net/http"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// seal ends the run's egress: a decoy, which nobody has a use for, was on its
// way out. Everything under way is cut, and nothing is allowed any more
// (TestDecoy). It returns the refusal of what held the
// decoy, on own's way if that is not nil.
func (s *server) seal(own *passage, seen sighting, b bearing) *refusal {
	over := &refusal{
		status: http.StatusForbidden, outcome: audit.Denied,
		decision: policy.Decision{Rule: ruleDecoy, Reason: "this bottle's egress has ended: a decoy credential was on its way out"},
	}
	if s.sealed.CompareAndSwap(nil, over) {
		s.mu.Lock()
		var under []*passage
		for p := range s.passages {
			if p != own && !p.inspect { // of what is inspected, each request is one
				under = append(under, p)
			}
		}
		s.mu.Unlock()
		for _, p := range under {
			p.cut(over)
		}
		s.cut()
	}
	return &refusal{
		status: http.StatusForbidden, outcome: audit.Denied, port: b.port,
		decision: policy.Decision{Host: b.Host, Rule: ruleDecoy, Reason: seen.reason() + "; this bottle's egress has ended"},
	}
}

// over is the refusal of everything once a decoy was seen; nil before.
func (s *server) over(r policy.Request) *refusal {
	sealed := s.sealed.Load()
	if sealed == nil {
		return nil
	}
	one := *sealed
	one.decision.Host, one.port = r.Host, r.Port
	return s.journal.refused(r, &one)
}
