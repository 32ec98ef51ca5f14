package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// hostile is a guest that does what the test says, on the other end of the
// client's stream; gone is closed with the client.
func hostile(t *testing.T, guest func(conn *Conn, gone <-chan struct{})) *GuestClient {
	t.Helper()
	a, b := net.Pipe()
	client := NewGuestClient(a)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn := NewConn(b)
		defer conn.Close()
		guest(conn, client.Done())
	}()
	t.Cleanup(func() {
		_ = client.Close()
		<-ended
		<-client.Done()
	})
	return client
}

// drain reads frames until the stream ends.
func drain(conn *Conn) {
	for {
		if _, err := conn.Read(); err != nil {
			return
		}
	}
}

func TestClientEndsWithAGuestThatLies(t *testing.T) {
	window := func(n byte) []byte { return []byte{0, 0, 0, n} }
	for name, test := range map[string]struct {
		kind    Kind
		payload []byte
		want    error
	}{
		"a frame of the launcher's": {KindStart, []byte("{}"), ErrProtocol},
		"ready out of turn":         {KindReady, nil, ErrProtocol},
		"exit that is no JSON":      {KindExit, []byte("garbage"), ErrProtocol},
		"exit code too large":       {KindExit, []byte(`{"code":256}`), ErrProtocol},
		"exit code below 0":         {KindExit, []byte(`{"code":-1}`), ErrProtocol},
		"exit code of no number":    {KindExit, []byte(`{"code":"0"}`), ErrProtocol},
		"endless message":           {KindExit, []byte(`{"code":1,"message":"` + strings.Repeat("x", maxMessage+1) + `"}`), ErrProtocol},
		"window nobody used":        {KindWindow, window(1), ErrProtocol},
		"window of 3 bytes":         {KindWindow, window(0)[:3], ErrProtocol},
		"end":                       {0, nil, ErrEnded},
	} {
		t.Run(name, func(t *testing.T) {
			client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
				_, _ = conn.Read() // start
				if test.kind == 0 {
					return
				}
				go drain(conn)
				_ = conn.Write(test.kind, test.payload)
				<-gone
			})
			_, err := client.Exec(t.Context(), Start{Argv: []string{"x"}}, Streams{})
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
			<-client.Done()
			if _, err := client.Exec(t.Context(), Start{}, Streams{}); err == nil {
				t.Error("the stream is used again")
			}
		})
	}
}

func TestClientPrintsNothingOfTheGuestsOwn(t *testing.T) {
	client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
		go drain(conn)
		_ = conn.WriteError(errors.New("evil\x1b]52;c;eA==\a\u202e\nline"))
		<-gone
	})
	err := client.Boot(t.Context(), GuestBoot{})
	if err == nil || !strings.HasSuffix(err.Error(), `evil\x1b]52;c;eA==\a\u202e\nline`) {
		t.Errorf("%v", err)
	}
	client = hostile(t, func(conn *Conn, gone <-chan struct{}) {
		go drain(conn)
		_ = conn.WriteJSON(KindExit, Exit{1, "evil\x1b[21t"})
		<-gone
	})
	// The exit may come before the start is sent; that is out of turn.
	exit, err := client.Exec(t.Context(), Start{}, Streams{})
	if err == nil && exit.Message != `evil\x1b[21t` {
		t.Errorf("%+v", exit)
	}
}

func TestClientHearsAGuestOutOfTurn(t *testing.T) {
	client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
		_ = conn.Write(KindStdout, []byte("hello"))
		<-gone
	})
	<-client.Done()
	if err := client.Boot(t.Context(), GuestBoot{}); !errors.Is(err, ErrProtocol) {
		t.Errorf("%v", err)
	}
}

func TestClientIsNotHeldByAGuestThatDoesNotRead(t *testing.T) {
	client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
		_, _ = conn.Read() // start, and then nothing more
		_ = conn.WriteJSON(KindExit, Exit{Code: 4})
		<-gone
	})
	exit, err := client.Exec(t.Context(), Start{}, Streams{Stdin: zeros{}})
	if err != nil || exit.Code != 4 {
		t.Errorf("%+v %v", exit, err)
	}
}

// zeros is input without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestContextEndsAnExecThatIsStuck(t *testing.T) {
	for name, guest := range map[string]func(*Conn, <-chan struct{}){
		"silent guest": func(conn *Conn, gone <-chan struct{}) { drain(conn) },
		"stuck printer": func(conn *Conn, gone <-chan struct{}) {
			go drain(conn)
			_ = conn.Write(KindStdout, []byte("x"))
			<-gone
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
				_, _ = conn.Read()
				guest(conn, gone)
			})
			ctx, cancel := context.WithCancel(t.Context())
			read, write := io.Pipe() // nobody reads
			defer read.Close()
			time.AfterFunc(50*time.Millisecond, cancel)
			if _, err := client.Exec(ctx, Start{}, Streams{Stdout: write}); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestOneProcessAtATime(t *testing.T) {
	started := make(chan struct{})
	client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
		_, _ = conn.Read()
		close(started)
		drain(conn)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := client.Exec(ctx, Start{}, Streams{})
		first <- err
	}()
	<-started
	if _, err := client.Exec(ctx, Start{}, Streams{}); !errors.Is(err, errBusy) {
		t.Errorf("the second: %v", err)
	}
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
}

func TestBootWaitsForReady(t *testing.T) {
	client := hostile(t, func(conn *Conn, gone <-chan struct{}) {
		f, _ := conn.Read()
		var boot GuestBoot
		if f.Decode(&boot) != nil || boot.Run != "r" || boot.Secrets[0] != "T=x" {
			_ = conn.WriteError(errors.New("wrong boot"))
			return
		}
		_ = conn.Write(KindReady, nil)
		drain(conn)
	})
	if err := client.Boot(t.Context(), GuestBoot{Run: "r", Secrets: []string{"T=x"}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := client.Boot(ctx, GuestBoot{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a guest that is never ready: %v", err)
	}
}

// TestBootProbed: both frames are there before the guest answers, and it answers
// in order, once.
func TestBootProbed(t *testing.T) {
	for name, test := range map[string]struct {
		answers []Kind
		want    error
	}{
		"in order":         {[]Kind{KindReady, KindProbed}, nil},
		"probed before":    {[]Kind{KindProbed, KindReady}, ErrProtocol},
		"ready twice":      {[]Kind{KindReady, KindReady}, ErrProtocol},
		"another frame":    {[]Kind{KindReady, KindExit}, ErrProtocol},
		"end before ready": {nil, ErrEnded},
		"end after ready":  {[]Kind{KindReady}, ErrEnded},
	} {
		t.Run(name, func(t *testing.T) {
			client := hostile(t, func(conn *Conn, _ <-chan struct{}) {
				for _, kind := range []Kind{KindGuestBoot, KindProbe} {
					if f, err := conn.Read(); err != nil || f.Kind != kind {
						t.Errorf("%v frame, %v, want %v", f.Kind, err, kind)
					}
				}
				for _, kind := range test.answers {
					payload := []byte(`{"findings":[{"kind":"call","detail":"\u001b"}],"took":7}`)
					if kind == KindReady {
						payload = nil
					}
					_ = conn.Write(kind, payload)
				}
			})
			probed, err := client.BootProbed(t.Context(), GuestBoot{}, Probe{})
			if !errors.Is(err, test.want) {
				t.Fatalf("%v, want %v", err, test.want)
			}
			if err == nil && (probed.Took != 7 || len(probed.Findings) != 1 || strings.Contains(probed.Findings[0].Detail, "\x1b")) {
				t.Errorf("probed %+v", probed)
			}
		})
	}
}

func TestInputKeepsWhatComesLate(t *testing.T) {
	read, write := io.Pipe()
	in := NewInput(read)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := in.ReadContext(ctx, make([]byte, 4)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d %v", n, err)
	}
	go func() {
		_, _ = write.Write([]byte("late"))
		_ = write.CloseWithError(io.ErrUnexpectedEOF)
	}()
	got, err := io.ReadAll(iotestSmall{in})
	if string(got) != "late" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%q %v", got, err)
	}
}

// iotestSmall reads two bytes at a time.
type iotestSmall struct{ r io.Reader }

func (s iotestSmall) Read(p []byte) (int, error) { return s.r.Read(p[:min(2, len(p))]) }

func FuzzClient(f *testing.F) {
	f.Add(frame(KindReady, ""), append(frame(KindStdout, "out"), frame(KindExit, `{"code":7}`)...))
	f.Add(frame(KindError, "no"), []byte{})
	f.Add(frame(KindReady, ""), append(frame(KindWindow, "\xff\xff\xff\xff"), frame(KindStderr, "e")...))
	f.Add(frame(KindReady, ""), frame(KindExit, `{"code":-1,"message":"\u001b"}`))
	f.Fuzz(func(t *testing.T, boot, exec []byte) {
		a, b := net.Pipe()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(io.Discard, b)
			}()
			_, _ = b.Write(boot)
			_, _ = b.Write(exec)
			_ = b.Close()
			<-read
		}()
		client := NewGuestClient(a)
		var out, errOut bytes.Buffer
		if client.Boot(t.Context(), GuestBoot{}) == nil {
			exit, err := client.Exec(t.Context(), Start{}, Streams{Stdin: strings.NewReader("in"), Stdout: &out, Stderr: &errOut})
			if err == nil && (exit.Code < 0 || exit.Code > 255 || exit.Message != Printable(exit.Message) && !strings.Contains(exit.Message, `\`)) {
				t.Errorf("%+v", exit)
			}
		}
		_ = client.Close()
		<-ended
		<-client.Done()
		if out.Len()+errOut.Len() > len(exec) {
			t.Error("printed more than came")
		}
	})
}

// TestBootHoldsOrFails ends the context in the moment in which the guest
// becomes ready: either Boot says that it failed, or the stream stays open.
func TestBootHoldsOrFails(t *testing.T) {
	for range 300 {
		ctx, cancel := context.WithCancel(t.Context())
		client := hostile(t, func(conn *Conn, _ <-chan struct{}) {
			if _, err := conn.Read(); err != nil {
				return
			}
			go cancel()
			_ = conn.Write(KindReady, nil)
			drain(conn)
		})
		err := client.Boot(ctx, GuestBoot{})
		<-ctx.Done()
		if err != nil {
			continue
		}
		select {
		case <-client.Done():
			t.Fatal("Boot said that the guest is ready and closed the stream")
		case <-time.After(time.Millisecond):
		}
	}
}
