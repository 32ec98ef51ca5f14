package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/wire"
)

// maxControls bounds the conversations at one time.
const maxControls = 16

// asksWithin is how long a peer may take to say what it wants.
const asksWithin = 10 * time.Second

// courtesy is how long a peer that is turned away may take to read why.
const courtesy = time.Second

// desk serves conversations of control streams (wire.ControlClient). It is
// reached by a unix socket that no bottle has, and asks the kernel who
// connected (TestControlIsForOneUID).
type desk struct {
	*server
	listener *net.UnixListener
	uid      int
	asks     time.Duration // asksWithin, but for tests
	slots    chan struct{}
	all      sync.WaitGroup
}

// openDesk listens on socket, which is abstract when it begins with "@" and a
// file of mode 0600 otherwise, for one uid.
func (s *server) openDesk(socket string, uid int) (*desk, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("listen for control: %w", err)
	}
	if !strings.HasPrefix(socket, "@") {
		if err := closeToOthers(socket); err != nil {
			listener.Close()
			return nil, fmt.Errorf("listen for control: %w", err)
		}
	}
	return s.newDesk(listener, uid), nil
}

// newDesk takes a socket over that listens already.
func (s *server) newDesk(listener *net.UnixListener, uid int) *desk {
	return &desk{server: s, listener: listener, uid: uid, asks: asksWithin, slots: make(chan struct{}, maxControls)}
}

// closeToOthers sets the mode of a socket's file. A gateway that is confined
// may not; the mode it was made with must do then.
func closeToOthers(path string) error {
	err := os.Chmod(path, 0o600)
	if err == nil {
		return nil
	}
	info, serr := os.Stat(path)
	if serr == nil && info.Mode().Perm()&0o022 == 0 {
		return nil
	}
	return err
}

// removeStale removes the socket that a gateway which was killed left behind,
// and no other file.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return nil // nothing is there, or what listening will complain of
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("a gateway listens on %s already", path), conn.Close())
	}
	return os.Remove(path)
}

// serve ends with ctx, and every conversation with it.
func (d *desk) serve(ctx context.Context) error {
	defer d.all.Wait()
	stop := context.AfterFunc(ctx, func() { d.listener.Close() })
	defer stop()
	for {
		peer, err := d.listener.AcceptUnix()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			if passing(ctx, err) {
				continue
			}
			return fmt.Errorf("accept control: %w", err)
		}
		if uid, err := wire.PeerUID(peer); err != nil || uid != d.uid {
			peer.Close()
			continue
		}
		conn := wire.NewConn(peer)
		_ = peer.SetReadDeadline(time.Now().Add(d.asks)) // until request has read the first frame
		select {
		case d.slots <- struct{}{}:
			d.all.Go(func() { d.converse(ctx, peer, conn) })
		default:
			_ = peer.SetDeadline(time.Now().Add(courtesy))
			_ = conn.WriteError(fmt.Errorf("%d control conversations are open: end one first", maxControls))
			_ = conn.Close()
		}
	}
}

// converse serves one request to its end. A peer that asks nothing keeps no other
// from asking for good. Its place is free before its peer sees that end: who ends
// one conversation may begin the next.
func (d *desk) converse(ctx context.Context, peer *net.UnixConn, conn *wire.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer conn.Close()
	defer func() { <-d.slots }()
	defer conn.CloseOn(ctx)()
	f, err := conn.Read()
	if err == nil {
		_ = peer.SetReadDeadline(time.Time{})
		err = d.request(ctx, conn, f)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		_ = conn.WriteError(err)
	}
}

func (d *desk) request(ctx context.Context, conn *wire.Conn, f wire.Frame) error {
	if d.trial.on() {
		return errors.New("the bottle is not ready yet")
	}
	switch f.Kind {
	case wire.KindAllow:
		var allow wire.Allow
		if err := f.Decode(&allow); err != nil {
			return err
		}
		return changed(conn)(d.allow(allow))
	case wire.KindReplace:
		var replace wire.Replace
		if err := f.Decode(&replace); err != nil {
			return err
		}
		return changed(conn)(d.replace(replace))
	case wire.KindCounters:
		return conn.WriteJSON(wire.KindCounted, d.counters())
	case wire.KindFollow:
		return d.follow(ctx, conn)
	case wire.KindAttend:
		return d.attend(ctx, conn)
	default:
		return fmt.Errorf("%w: %v frame on a control stream", wire.ErrProtocol, f.Kind)
	}
}

// changed answers a change of the policy.
func changed(conn *wire.Conn) func(int, error) error {
	return func(cut int, err error) error {
		if err != nil {
			return err
		}
		return conn.WriteJSON(wire.KindChanged, wire.Changed{Cut: cut})
	}
}

// hangUp ends a conversation that only listens when its peer does. A frame
// of the peer's is passed to each.
func hangUp(conn *wire.Conn, cancel context.CancelFunc, each func(wire.Frame) error) *sync.WaitGroup {
	var reading sync.WaitGroup
	reading.Go(func() { // ends with conn
		defer cancel()
		for {
			f, err := conn.Read()
			if err != nil || each(f) != nil {
				return
			}
		}
	})
	return &reading
}

var errNothingExpected = fmt.Errorf("%w: nothing was expected", wire.ErrProtocol)

// follow sends the record, line by line.
func (d *desk) follow(ctx context.Context, conn *wire.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	reading := hangUp(conn, cancel, func(wire.Frame) error { return errNothingExpected })
	defer reading.Wait()
	defer conn.Close()
	return audit.Follow(ctx, d.journal.path, func(e audit.Event) error {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		return conn.Write(wire.KindRecorded, line)
	})
}

// Control carries one control conversation between its streams and the
// gateway's socket, for a launcher whose engine gives it a stream to a process
// beside the gateway. It returns when the gateway closes, stdout breaks or ctx
// ends, and does not wait for a stdin that blocks.
func Control(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var dialer net.Dialer
	peer, err := dialer.DialContext(ctx, "unix", wire.GatewayControl)
	if err != nil {
		return fmt.Errorf("reach the gateway: %w", err)
	}
	conn := peer.(*net.UnixConn)
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	go func() { // ends with stdin, or with the process
		_, _ = io.Copy(conn, stdin)
		conn.Close() // nobody listens any more: a conversation has no half
	}()
	if _, err := io.Copy(stdout, conn); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("carry the conversation: %w", err)
	}
	return ctx.Err()
}

// kindChange is that of the record's line about a change of the policy by a
// person.
const kindChange = audit.Change

// note records what a person did. What cannot be recorded is not done.
func (s *server) note(host string, port int, rule, reason string) error {
	return s.journal.writer.Append(audit.Event{
		Time: time.Now(), Run: s.journal.run, Kind: kindChange, Host: host, Port: port,
		Decision: audit.Allowed, Rule: rule, Reason: reason,
	})
}
