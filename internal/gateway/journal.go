package gateway

import (
	"net/http"
	"sync/atomic"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// journal writes the gateway's events into the record and cuts every
// connection when it cannot.
type journal struct {
	writer *audit.Writer
	path   string
	run    string
	broken func()
	trial  *trial
	// failing says that the last line could not be written.
	failing atomic.Bool
	counted func(audit.Event)
	// scrub takes secrets out of an event.
	scrub func(*audit.Event) error
}

// ruleRecord is the rule of what is refused because it cannot be recorded.
const ruleRecord = "record"

// append writes e, or returns the refusal that must then be given.
func (j *journal) append(e audit.Event) *refusal {
	if j.trial.on() {
		return nil // the probe's own; its result is recorded when it ends
	}
	e.Run = j.run
	if e.Time.IsZero() {
		e.Time = time.Now()
	}
	err := j.scrub(&e)
	if err == nil {
		err = j.writer.Append(e)
	}
	j.failing.Store(err != nil)
	if err == nil {
		j.counted(e)
		return nil
	}
	j.broken()
	return &refusal{
		status: http.StatusServiceUnavailable, outcome: audit.Denied, port: e.Port,
		decision: policy.Decision{
			Host: e.Host, Rule: ruleRecord,
			Reason: "the record cannot be written, so nothing may leave: " + err.Error(),
		},
	}
}

// ready says whether r may be acted on at all, before anything is: looking up
// a name is egress too. While lines cannot be written it gives a refusal, and
// recording that one shows when they can be again.
func (j *journal) ready(r policy.Request) *refusal {
	if !j.failing.Load() {
		return nil
	}
	return j.refused(r, &refusal{
		status: http.StatusServiceUnavailable, outcome: audit.Denied, port: r.Port,
		decision: policy.Decision{Host: r.Host, Rule: ruleRecord, Reason: "the record could not be written until now; try again"},
	})
}

// refused records a refusal of r, and returns the refusal to give: itself, or
// that it could not be recorded.
func (j *journal) refused(r policy.Request, why *refusal) *refusal {
	e := eventOf(r, why.decision)
	e.Decision = why.outcome
	if e.Host == "" {
		e.Host = r.Host
	}
	if e.Port == 0 {
		e.Port = why.port
	}
	if failed := j.append(e); failed != nil {
		return failed
	}
	return why
}

func eventOf(r policy.Request, d policy.Decision) audit.Event {
	return audit.Event{
		Kind: r.Kind, Host: d.Host, Port: r.Port, Method: r.Method, Path: r.Path,
		Decision: audit.Allowed, Rule: d.Rule, Reason: d.Reason,
	}
}
