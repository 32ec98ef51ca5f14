package wire

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"
)

// atWork is a client whose gateway the test plays.
func atWork(t *testing.T, c *GatewayClient, conn net.Conn) (gateway *Conn, waited <-chan error) {
	t.Helper()
	gateway = NewConn(conn)
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Close(); _ = gateway.Close() })
	return gateway, ended
}

func sends(t *testing.T, conn *Conn, kind Kind, v any) {
	t.Helper()
	if err := conn.WriteJSON(kind, v); err != nil {
		t.Fatal(err)
	}
}

func readTurn(t *testing.T, conn *Conn) (turn Turn) {
	t.Helper()
	f, err := conn.Read()
	if err == nil && f.Kind != KindTurn {
		t.Fatalf("a %v frame", f.Kind)
	}
	if err == nil {
		err = f.Decode(&turn)
	}
	if err != nil {
		t.Fatal(err)
	}
	return turn
}

// TestTurn: a gateway that wants to renew gets the login as it is kept, and
// what it says of it is told once. What it did not ask for, it may not say.
func TestTurn(t *testing.T) {
	launcher, peer := net.Pipe()
	c := NewGatewayClient(launcher)
	c.Turn = func(_ context.Context, name string) (string, error) {
		if name == "NONE" {
			return "", errors.New("nothing is kept")
		}
		return "login of " + name, nil
	}
	told := make(chan Renewed, 4)
	c.Renewed = func(r Renewed) { told <- r }
	gateway, waited := atWork(t, c, peer)
	sends(t, gateway, KindRenew, Renew{Name: "NONE"})
	if turn := readTurn(t, gateway); turn.Refused != "nothing is kept" || turn.Login != "" {
		t.Errorf("%+v is refused %q", turn, turn.Refused)
	}
	for _, login := range []string{"another", ""} {
		sends(t, gateway, KindRenew, Renew{Name: "TOKEN"})
		if turn := readTurn(t, gateway); turn.Login != "login of TOKEN" || turn.Refused != "" {
			t.Errorf("it gets %q, refused %q", turn.Login, turn.Refused)
		}
		sends(t, gateway, KindRenewed, Renewed{Name: "TOKEN", Login: login})
		if got := <-told; got.Login != login {
			t.Errorf("told %q", got.Login)
		}
	}
	sends(t, gateway, KindRenewed, Renewed{Name: "TOKEN", Login: "out of turn"})
	if err := <-waited; !errors.Is(err, ErrProtocol) {
		t.Errorf("%v", err)
	}
	if len(told) > 0 {
		t.Error("what came out of turn is told")
	}
}

// TestTurnEndsWithItsGateway, whether it waited for the turn or had it.
func TestTurnEndsWithItsGateway(t *testing.T) {
	for _, granted := range []bool{true, false} {
		launcher, peer := net.Pipe()
		c := NewGatewayClient(launcher)
		c.Turn = func(ctx context.Context, _ string) (string, error) {
			if !granted {
				<-ctx.Done()
			}
			return "", ctx.Err()
		}
		told := make(chan Renewed, 4)
		c.Renewed = func(r Renewed) { told <- r }
		gateway, waited := atWork(t, c, peer)
		sends(t, gateway, KindRenew, Renew{Name: "TOKEN"})
		if granted {
			readTurn(t, gateway)
		}
		if err := gateway.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-waited; err != nil {
			t.Error(err)
		}
		if granted != (len(told) == 1) {
			t.Errorf("granted: %v, and told %d times", granted, len(told))
		}
	}
}

// TestFinishWaitsForARenewal that is under way, ends the wait for one that has
// not begun, and lets no other begin.
func TestFinishWaitsForARenewal(t *testing.T) {
	launcher, peer := net.Pipe()
	c := NewGatewayClient(launcher)
	told := make(chan Renewed, 4)
	c.Renewed = func(r Renewed) { told <- r }
	gateway, _ := atWork(t, c, peer)
	sends(t, gateway, KindRenew, Renew{Name: "TOKEN"})
	readTurn(t, gateway)
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c.Finish(soon); soon.Err() == nil {
		t.Error("it did not wait")
	}
	finished := make(chan struct{})
	go func() { c.Finish(t.Context()); close(finished) }()
	sends(t, gateway, KindRenewed, Renewed{Name: "TOKEN", Login: "another"})
	<-finished
	if len(told) != 1 {
		t.Error("finished before the login was kept")
	}
	sends(t, gateway, KindRenew, Renew{Name: "TOKEN"})
	if turn := readTurn(t, gateway); turn.Refused == "" {
		t.Error("another renewal begins")
	}
}

// TestFinishEndsTheWaitForATurn.
func TestFinishEndsTheWaitForATurn(t *testing.T) {
	launcher, peer := net.Pipe()
	c := NewGatewayClient(launcher)
	c.Turn = func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() }
	gateway, _ := atWork(t, c, peer)
	sends(t, gateway, KindRenew, Renew{Name: "TOKEN"})
	refused := make(chan Turn, 1)
	go func() { refused <- readTurn(t, gateway) }()
	c.Finish(t.Context())
	if turn := <-refused; turn.Refused == "" {
		t.Errorf("%v is granted", turn)
	}
}
