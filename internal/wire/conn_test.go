package wire

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"sync"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stream is one end of a connection made of a reader and a writer.
type stream struct {
	io.Reader
	io.Writer
}

func (stream) Close() error { return nil }

func frame(kind Kind, payload string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(len(payload)))
	return append(b, payload...)
}

// pair returns two ends of one connection.
func pair(t *testing.T) (here, there *Conn) {
	t.Helper()
	a, b := net.Pipe()
	here, there = NewConn(a), NewConn(b)
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	return here, there
}

func TestFramesArriveOneByteAtATime(t *testing.T) {
	input := append(frame(KindStdout, "some"), frame(KindStdinEOF, "")...)
	input = append(input, frame(KindExit, `{"code":3}`)...)
	conn := NewConn(stream{iotest.OneByteReader(bytes.NewReader(input)), io.Discard})
	for _, want := range []struct {
		kind    Kind
		payload string
	}{{KindStdout, "some"}, {KindStdinEOF, ""}, {KindExit, `{"code":3}`}} {
		f, err := conn.Read()
		if err != nil || f.Kind != want.kind || string(f.Payload) != want.payload {
			t.Errorf("%v %q %v, want %v", f.Kind, f.Payload, err, want)
		}
	}
	if _, err := conn.Read(); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFramesThatMayNotCome(t *testing.T) {
	tooLong := func(kind Kind, limit int) []byte {
		return binary.BigEndian.AppendUint32([]byte{byte(kind)}, uint32(limit+1))
	}
	for name, test := range map[string]struct {
		input []byte
		want  error
	}{
		"unknown kind":         {frame(Kind(200), ""), ErrProtocol},
		"kind 0":               {make([]byte, 100), ErrProtocol},
		"4 GiB":                {[]byte{byte(KindStdout), 0xff, 0xff, 0xff, 0xff}, ErrProtocol},
		"data too long":        {tooLong(KindStdout, MaxData), ErrProtocol},
		"control too long":     {tooLong(KindExit, MaxControl), ErrProtocol},
		"text too long":        {tooLong(KindError, MaxText), ErrProtocol},
		"eof with a payload":   {frame(KindStdinEOF, "x"), ErrProtocol},
		"ends in the header":   {[]byte{byte(KindStdout), 0, 0}, io.ErrUnexpectedEOF},
		"ends in the payload":  {frame(KindStdout, "abc")[:6], io.ErrUnexpectedEOF},
		"ends before payload":  {frame(KindStdout, "abc")[:5], io.ErrUnexpectedEOF},
		"ends between frames":  {nil, io.EOF},
		"the longest that may": {frame(KindStdout, string(make([]byte, MaxData))), nil},
	} {
		conn := NewConn(stream{bytes.NewReader(test.input), io.Discard})
		_, err := conn.Read()
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
		if errors.Is(test.want, ErrProtocol) != isClosed(conn.Closed()) {
			t.Errorf("%s: closed %v", name, isClosed(conn.Closed()))
		}
	}
}

func TestFramesOfSeveralWritersDoNotMix(t *testing.T) {
	here, there := pair(t)
	const writers, frames = 8, 200
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for i := range frames {
				payload := bytes.Repeat([]byte{byte(w)}, 1+(i*377)%MaxData)
				if err := here.Write(KindStdout, payload); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range writers * frames {
		f, err := there.Read()
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(f.Payload, f.Payload[:1]) != len(f.Payload) {
			t.Fatal("two writers in one frame")
		}
	}
	all.Wait()
}

func TestWriteRefusesWhatNoFrameHolds(t *testing.T) {
	var out bytes.Buffer
	conn := NewConn(stream{nil, &out})
	for _, err := range []error{
		conn.Write(KindStdout, make([]byte, MaxData+1)),
		conn.Write(Kind(99), nil),
		conn.WriteJSON(KindStart, Start{Argv: []string{string(make([]byte, MaxControl))}}),
	} {
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%v", err)
		}
	}
	if err := conn.WriteError(errors.New(string(bytes.Repeat([]byte("x"), MaxText+9)))); err != nil {
		t.Error(err)
	}
	if out.Len() != headerSize+MaxText || isClosed(conn.Closed()) {
		t.Errorf("%d bytes sent", out.Len())
	}
}

func TestWriteKeepsNoSecret(t *testing.T) {
	conn := NewConn(stream{nil, io.Discard})
	_ = conn.Write(KindStdin, []byte("short"))
	if err := conn.WriteJSON(KindGuestBoot, GuestBoot{Secrets: []string{"TOKEN=s3cret"}}); err != nil {
		t.Fatal(err)
	}
	if held := conn.out[:cap(conn.out)]; len(bytes.Trim(held, "\x00")) != 0 {
		t.Errorf("holds %q", bytes.Trim(held, "\x00"))
	}
}

func TestReadKeepsNoSecret(t *testing.T) {
	input := append(frame(KindTurn, `{"login":"s3cret"}`), frame(KindTurn, "{}")...)
	conn := NewConn(stream{bytes.NewReader(input), io.Discard})
	first, err := conn.Read()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(); err != nil || bytes.Contains(first.Payload, []byte("s3cret")) {
		t.Errorf("behind the next it holds %q, %v", first.Payload, err)
	}
	if _, err := conn.Read(); !errors.Is(err, io.EOF) || len(bytes.Trim(conn.in, "\x00")) != 0 {
		t.Errorf("at the end it holds %q, %v", conn.in, err)
	}
}

func TestContextClosesTheConnection(t *testing.T) {
	here, _ := pair(t)
	ctx, cancel := context.WithCancel(t.Context())
	here.CloseOn(ctx)
	read := make(chan error)
	go func() {
		_, err := here.Read()
		read <- err
	}()
	cancel()
	if err := <-read; err == nil {
		t.Error("Read goes on")
	}
	if err := here.Write(KindStdinEOF, nil); err == nil {
		t.Error("Write works")
	}
}

func TestStringsKeepEveryByte(t *testing.T) {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	here, there := pair(t)
	want := Start{Argv: []string{string(all[:]), "", "<&>"}, Env: []string{"A=\xff"}}
	go func() { _ = here.WriteJSON(KindStart, want) }()
	f, err := there.Read()
	if err != nil {
		t.Fatal(err)
	}
	var got Start
	if err := f.Decode(&got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
}

func TestSignalsHaveNamesBothWays(t *testing.T) {
	for _, s := range signals {
		name, ok := SignalName(s.signal)
		if back, known := SignalNamed(name); !ok || !known || back != s.signal {
			t.Errorf("%v is %q is %v", s.signal, name, back)
		}
	}
	if _, ok := SignalNamed("SEGV"); ok {
		t.Error("SEGV is sent")
	}
}

func FuzzConnRead(f *testing.F) {
	f.Add(frame(KindStdout, "x"))
	f.Add(append(frame(KindStart, `{"argv":["eA=="]}`), frame(KindResize, `{"rows":1}`)...))
	f.Add([]byte{byte(KindStart), 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, input []byte) {
		conn := NewConn(stream{bytes.NewReader(input), io.Discard})
		var again []byte
		for {
			got, err := conn.Read()
			if err != nil {
				break
			}
			again = append(again, frame(got.Kind, string(got.Payload))...)
			if cap(conn.in) > MaxControl {
				t.Fatalf("holds %d bytes", cap(conn.in))
			}
		}
		if !bytes.HasPrefix(input, again) {
			t.Errorf("read %q of %q", again, input)
		}
	})
}
