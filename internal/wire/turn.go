package wire

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// RenewalTime is how long a gateway that has its turn may take to renew a login,
// and KeepTime how long it may then take to be kept. A bottle that is closed
// meanwhile waits for both.
const (
	RenewalTime = 30 * time.Second
	KeepTime    = 20 * time.Second
)

// turns is the launcher's side of renewals: one at a time, since a gateway has
// one login that expires.
type turns struct {
	answering sync.WaitGroup

	mu        sync.Mutex // guards what follows
	finishing bool
	name      string        // of the login
	ended     chan struct{} // nil while there is no turn
	cancel    func()        // ends the wait for the turn
	granted   bool          // the gateway renews
}

// begin says whether a gateway may ask for a turn now, which it has to end
// before it asks for another. ctx is for the time until it is granted.
func (t *turns) begin(name string) (ctx context.Context, finishing, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		return nil, false, false
	}
	ctx, t.cancel = context.WithCancel(context.Background())
	t.name, t.ended, t.granted = name, make(chan struct{}), false
	return ctx, t.finishing, true
}

func (t *turns) grant() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.granted = true
}

// open is the login that the gateway may renew; empty for none.
func (t *turns) open() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended == nil || !t.granted {
		return ""
	}
	return t.name
}

func (t *turns) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended != nil {
		t.cancel()
		close(t.ended)
		t.ended = nil
	}
}

// hurry ends the wait for a turn that was not granted yet, and returns what is
// closed when there is no turn; nil when there is none. No other is granted
// once it was called with finish.
func (t *turns) hurry(finish bool) <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.finishing = t.finishing || finish
	if t.ended != nil {
		t.cancel()
	}
	return t.ended
}

// Finish waits, until ctx ends, for a renewal that is under way: what it
// brings is lost when the gateway is ended before. No other begins
// (TestFinishWaitsForARenewal). Wait must be at work.
func (c *GatewayClient) Finish(ctx context.Context) {
	ended := c.turns.hurry(true)
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// renew answers a gateway that wants to renew, as soon as it may.
func (c *GatewayClient) renew(f Frame) error {
	var wish Renew
	if err := f.Decode(&wish); err != nil {
		return err
	}
	ctx, finishing, ok := c.turns.begin(wish.Name)
	if !ok {
		return fmt.Errorf("%w: a second turn to renew", ErrProtocol)
	}
	c.turns.answering.Go(func() { // leave waits for it
		turn := Turn{Name: wish.Name}
		switch {
		case finishing:
			turn.Refused = "the bottle is being closed"
		case c.Turn != nil:
			login, err := c.Turn(ctx, wish.Name)
			if turn.Login = login; err != nil {
				turn = Turn{Name: wish.Name, Refused: err.Error()}
			}
		}
		if turn.Refused == "" {
			c.turns.grant()
		} else {
			c.turns.end()
		}
		_ = c.conn.WriteJSON(KindTurn, turn) // a stream that broke is Wait's to see
	})
	return nil
}

// renewed ends a turn.
func (c *GatewayClient) renewed(f Frame) error {
	var renewed Renewed
	if err := f.Decode(&renewed); err != nil {
		return err
	}
	if name := c.turns.open(); name == "" || name != renewed.Name {
		return fmt.Errorf("%w: what was renewed out of turn", ErrProtocol)
	}
	c.tell(renewed)
	c.turns.end()
	return nil
}

func (c *GatewayClient) tell(renewed Renewed) {
	if c.Renewed != nil {
		c.Renewed(renewed)
	}
}

// leave ends the turn of a gateway that has ended.
func (c *GatewayClient) leave() {
	c.turns.hurry(false)
	c.turns.answering.Wait()
	if name := c.turns.open(); name != "" {
		c.tell(Renewed{Name: name})
	}
	c.turns.end()
}
