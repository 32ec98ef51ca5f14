package gateway

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"sync"
	"sync/atomic"

	"claude-bottle/internal/policy"
)

// budgets count what leaves: all of it, and by rule. What was spent stays
// spent when the policy changes (TestBudgetSurvivesAChange).
type budgets struct {
	total budget

	mu    sync.Mutex // guards rules
	rules map[string]*budget
}

// budget is one count with its limit, in bytes; 0 is no limit.
type budget struct {
	used, limit atomic.Int64
}

// take adds n, unless that would pass the limit.
func (b *budget) take(n int64) bool {
	for {
		used, limit := b.used.Load(), b.limit.Load()
		if limit > 0 && n > limit-used {
			return false
		}
		if b.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// left is never below 0.
func (b *budget) left() int64 {
	if limit := b.limit.Load(); limit > 0 {
		return max(limit-b.used.Load(), 0)
	}
	return math.MaxInt
}

func (b *budget) spent() bool {
	limit := b.limit.Load()
	return limit > 0 && b.used.Load() >= limit
}

// of is the budget of the rule that made a decision.
func (b *budgets) of(d policy.Decision) *budget {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rules == nil {
		b.rules = map[string]*budget{}
	}
	rule := b.rules[d.Rule]
	if rule == nil {
		rule = &budget{}
		b.rules[d.Rule] = rule
	}
	rule.limit.Store(d.Budget)
	return rule
}

// ruleBudget is the rule of what is refused because too much was sent.
const ruleBudget = "budget"

// errBudget is bytes that may not leave.
var errBudget = errors.New("the budget is used up")

// overspent refuses what would pass a limit; rule is empty for the bottle's.
func overspent(d policy.Decision, port int, limit int64, whole bool) *refusal {
	whose := "rule " + strconv.Quote(d.Rule)
	if whole {
		whose = "the bottle"
	}
	return denied(policy.Decision{
		Host: d.Host, Rule: ruleBudget,
		Reason: fmt.Sprintf("%s may send %d bytes in all, and this would be more", whose, limit),
	}, port)
}

// afford refuses what is to be sent by a decision whose budget is used up
// already.
func (s *server) afford(d policy.Decision, port int) *refusal {
	rule := s.budgets.of(d)
	switch {
	case s.budgets.total.spent():
		return overspent(d, port, s.budgets.total.limit.Load(), true)
	case rule.spent():
		return overspent(d, port, rule.limit.Load(), false)
	}
	return nil
}

// room is how many bytes may leave by a passage now. Others may be quicker to
// take them.
func (p *passage) room() int {
	left := p.server.budgets.total.left()
	if p.rule != nil {
		left = min(left, p.rule.left())
	}
	return int(left)
}

// pay takes n bytes off the budgets of a passage. When there are not as many
// left nothing of them leaves, and the passage is cut.
func (p *passage) pay(n int64) error {
	total, rule := &p.server.budgets.total, p.rule
	if !total.take(n) {
		p.cut(overspent(p.decision, p.port, total.limit.Load(), true))
		return errBudget
	}
	if rule != nil && !rule.take(n) {
		total.used.Add(-n)
		p.cut(overspent(p.decision, p.port, rule.limit.Load(), false))
		return errBudget
	}
	return nil
}
