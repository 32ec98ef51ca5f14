package gateway

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// pair are both ends of a connection on loopback.
func pair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- conn
	}()
	near = dial(t, l.Addr().String())
	far = <-accepted
	t.Cleanup(func() { far.Close() })
	return near, far
}

// TestBulkIsSpliced: bytes that keep coming are moved by the kernel, all of
// them are counted, and none is lost where they pause, come in small pieces or
// end.
func TestBulkIsSpliced(t *testing.T) {
	source, in := pair(t)
	out, sink := pair(t)
	data := make([]byte, 9<<20+13)
	if _, err := rand.Read(data); err != nil {
		t.Fatal(err)
	}
	go func() {
		rest := data
		for _, size := range []int{100, 4 << 20, 1, bufferSize, 3 << 20, len(data)} {
			size = min(size, len(rest))
			if _, err := source.Write(rest[:size]); err != nil {
				t.Error(err)
			}
			rest = rest[size:]
			<-time.After(2 * conduitHold) // a pause of the sender is what is tested
		}
		source.Close()
	}()
	got := make(chan []byte, 1)
	go func() {
		all, err := io.ReadAll(sink)
		if err != nil {
			t.Error(err)
		}
		got <- all
	}()
	counted := 0
	tunnel := &tunnelled{idle: 10 * time.Second, conduits: newConduits()}
	defer tunnel.conduits.close()
	tunnel.moved()
	tunnel.carry(out, end{in, bufio.NewReader(in)}, meter{func(n int) error { counted += n; return nil }, boundless})
	out.Close()
	if all := <-got; !bytes.Equal(all, data) {
		t.Errorf("%d of %d bytes came, or others", len(all), len(data))
	}
	if counted != len(data) {
		t.Errorf("%d bytes counted of %d", counted, len(data))
	}
	if len(tunnel.conduits.idle) != 1 || len(tunnel.conduits.more) != 1 {
		t.Errorf("%d pipes, %d of them idle: want one", len(tunnel.conduits.more), len(tunnel.conduits.idle))
	}
}

// TestConduitsAreWaitedFor: a tunnel that finds all pipes in use copies, and is
// spliced when one is free again.
func TestConduitsAreWaitedFor(t *testing.T) {
	source, in := pair(t)
	out, sink := pair(t)
	tunnel := &tunnelled{idle: 10 * time.Second, conduits: newConduits()}
	defer tunnel.conduits.close()
	for range maxConduits {
		tunnel.conduits.more <- struct{}{}
	}
	carried := make(chan struct{})
	go func() {
		defer close(carried)
		tunnel.moved()
		tunnel.carry(out, end{in, bufio.NewReader(in)}, meter{func(int) error { return nil }, boundless})
	}()
	move := func(n int64) {
		t.Helper()
		go func() {
			if _, err := source.Write(make([]byte, n)); err != nil {
				t.Error(err)
			}
		}()
		if _, err := io.CopyN(io.Discard, sink, n); err != nil {
			t.Fatal(err)
		}
	}
	move(4 << 20)
	if len(tunnel.conduits.more) != maxConduits {
		t.Error("there are more pipes than there may be")
	}
	for range maxConduits {
		<-tunnel.conduits.more
	}
	for range 20 { // until one piece comes that fills a buffer
		move(4 << 20)
	}
	source.Close()
	<-carried
	if len(tunnel.conduits.idle) != 1 {
		t.Errorf("%d pipes were used: want one", len(tunnel.conduits.idle))
	}
}

// TestRefusedBytesStayInTheirPipe: what a budget refuses in the middle of bulk
// goes nowhere, and its pipe is not used again.
func TestRefusedBytesStayInTheirPipe(t *testing.T) {
	source, in := pair(t)
	out, sink := pair(t)
	go func() {
		_, _ = source.Write(make([]byte, 4<<20)) // it is cut off
	}()
	received := make(chan int64, 1)
	go func() {
		n, _ := io.Copy(io.Discard, sink)
		received <- n
	}()
	allowed := 0
	tunnel := &tunnelled{idle: 10 * time.Second, conduits: newConduits()}
	tunnel.moved()
	spent := errors.New("spent")
	err := tunnel.copy(out, end{in, bufio.NewReader(in)}, meter{func(n int) error {
		if allowed+n > 1<<20 {
			return spent
		}
		allowed += n
		return nil
	}, boundless})
	out.Close()
	if n := <-received; !errors.Is(err, spent) || n != int64(allowed) {
		t.Errorf("%d bytes came of %d that were allowed: %v", n, allowed, err)
	}
	if len(tunnel.conduits.idle) != 0 || len(tunnel.conduits.more) != 0 {
		t.Error("a pipe with bytes in it was kept")
	}
}
