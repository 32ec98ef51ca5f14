package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"claude-bottle/internal/policy"
)

// A control stream is how a person speaks to a gateway at work: changes what
// it allows, reads its counters, follows its record, answers its questions.
// Each conversation is one request, and what the gateway says to it until
// either side closes. It is never reachable from a bottle.

// GatewayControl is the socket of a gateway that has a network namespace of
// its own, where nobody else is.
const GatewayControl = "@claude-bottle-gateway"

// Allow adds one rule to what a running bottle may reach.
type Allow struct {
	Rule policy.Rule `json:"rule"`
	// For is how long it holds; 0 is to the end of the run.
	For time.Duration `json:"for,omitempty"`
	// Who is the person, for the record.
	Who string `json:"who"`
}

// Replace puts another policy in the place of the one that a running bottle
// was started with. Rules that were added to it since stay.
type Replace struct {
	Policy policy.Egress `json:"policy"`
	// Who is the person, and Why where the policy comes from, for the record.
	Who string `json:"who"`
	Why string `json:"why"`
}

// Changed is what a change of the policy did.
type Changed struct {
	// Cut counts the connections that were ended, being allowed no longer.
	Cut int `json:"cut"`
}

// Question is an unlisted name that a bottle asks for and a person may allow.
// Everything in it was written by the bottle.
type Question struct {
	ID     uint64 `json:"id"`
	Host   string `json:"host"` // normalised
	Port   int    `json:"port,omitempty"`
	Kind   string `json:"kind"`
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Held is how much longer the request waits; 0 once it was refused, which
	// an answer does not change, but what is asked for later it does.
	Held time.Duration `json:"held"`
	// Problem is why the last answer could not be followed.
	Problem string `json:"problem,omitempty"`
	// Over says that the question is answered, and by whom is none of the
	// listener's business.
	Over bool `json:"over,omitempty"`
}

// Verdict is a person's answer to a question.
type Verdict string

// The verdicts.
const (
	// Once allows what is held, or the next connection within a minute.
	Once Verdict = "once"
	// ForRun adds the answer's rule until the run ends.
	ForRun Verdict = "run"
	// Refuse refuses it, and what is asked for that name from then on.
	Refuse Verdict = "no"
)

// Answer is a person's answer to the question with the same ID.
type Answer struct {
	ID      uint64  `json:"id"`
	Verdict Verdict `json:"verdict"`
	// Rule is what ForRun adds.
	Rule policy.Rule `json:"rule"`
	Who  string      `json:"who"`
}

// ControlClient speaks to a gateway over one control stream; one conversation.
type ControlClient struct{ conn *Conn }

// NewControlClient takes ownership of rwc.
func NewControlClient(rwc io.ReadWriteCloser) *ControlClient { return &ControlClient{NewConn(rwc)} }

// Close ends the conversation.
func (c *ControlClient) Close() error { return c.conn.Close() }

// Allow adds a rule. It holds when Allow returns.
func (c *ControlClient) Allow(ctx context.Context, allow Allow) (Changed, error) {
	var changed Changed
	if err := c.conn.exchange(ctx, KindAllow, allow, KindChanged, &changed); err != nil {
		return changed, fmt.Errorf("change the policy: %w", err)
	}
	return changed, nil
}

// Replace changes the policy. The new one is in force when it returns.
func (c *ControlClient) Replace(ctx context.Context, replace Replace) (Changed, error) {
	var changed Changed
	if err := c.conn.exchange(ctx, KindReplace, replace, KindChanged, &changed); err != nil {
		return changed, fmt.Errorf("change the policy: %w", err)
	}
	return changed, nil
}

// Counters returns the gateway's counters in Prometheus' text format.
func (c *ControlClient) Counters(ctx context.Context) (string, error) {
	var text string
	if err := c.conn.exchange(ctx, KindCounters, struct{}{}, KindCounted, &text); err != nil {
		return "", fmt.Errorf("read the counters: %w", err)
	}
	return text, nil
}

// Follow calls each with every line of the record, from its beginning, until
// ctx or the gateway ends, which is no error.
func (c *ControlClient) Follow(ctx context.Context, each func(line json.RawMessage) error) error {
	err := c.listen(ctx, KindFollow, KindRecorded, func(f Frame) error {
		var line json.RawMessage
		if err := f.Decode(&line); err != nil {
			return err
		}
		return each(line)
	})
	if err != nil {
		return fmt.Errorf("follow the record: %w", err)
	}
	return nil
}

// Attend says that a person is there; there is called once the gateway knows.
// It calls each with every question that is open, when it is asked and when it
// is over, until ctx or the gateway ends, which is no error. Answer may be
// called meanwhile.
func (c *ControlClient) Attend(ctx context.Context, there func(), each func(Question) error) error {
	err := c.listen(ctx, KindAttend, KindQuestion, func(f Frame) error {
		var q Question
		if f.Kind == KindReady {
			there()
			return nil
		}
		if err := f.Decode(&q); err != nil {
			return err
		}
		for _, text := range []*string{&q.Host, &q.Kind, &q.Method, &q.Path} {
			*text = Printable((*text)[:min(len(*text), maxFinding)])
		}
		return each(q)
	})
	if err != nil {
		return fmt.Errorf("attend to questions: %w", err)
	}
	return nil
}

// Answer answers a question, while Attend runs.
func (c *ControlClient) Answer(answer Answer) error { return c.conn.WriteJSON(KindAnswer, answer) }

// listen sends a request and takes frames of one kind until the stream ends.
func (c *ControlClient) listen(ctx context.Context, ask, want Kind, each func(Frame) error) error {
	stop := c.conn.CloseOn(ctx)
	defer stop()
	if err := c.conn.WriteJSON(ask, struct{}{}); err != nil {
		return err
	}
	for {
		f, err := c.conn.Read()
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		case f.Kind == KindError:
			return remoteError(f)
		case f.Kind != want && (f.Kind != KindReady || ask != KindAttend):
			return fmt.Errorf("%w: %v frame instead of %v", ErrProtocol, f.Kind, want)
		}
		if err := each(f); err != nil {
			return err
		}
	}
}
