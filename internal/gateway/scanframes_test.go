package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/scan"
)

// masked is a client's frame.
func masked(first byte, payload string) []byte {
	key := []byte{0x37, 0xfa, 0x21, 0x3d}
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, frameMasked|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, frameMasked|126), uint16(n)) //nolint:gosec // G115: checked
	default:
		b = binary.BigEndian.AppendUint64(append(b, frameMasked|127), uint64(n))
	}
	b = append(b, key...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i&3])
	}
	return b
}

// framesScanner is built once: a fuzzer would do little else.
var framesScanner = sync.OnceValues(func() (*scan.Scanner, error) {
	return scan.New(scan.Options{Values: []scan.Value{{Name: "READABLE", Kind: scan.Secret, Bytes: []byte(readable)}}, Rows: scan.Table()})
})

// said runs frames over what a client says, cut into parts of size bytes.
func said(t testing.TB, size int, frame ...[]byte) (left string, found []string, err error) {
	t.Helper()
	s, err := framesScanner()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	f := newFrames(s, &out, false, func(f scan.Finding, _ bool) error {
		found = append(found, f.Name)
		return scan.ErrBlocked
	})
	for part := range slices.Chunk(bytes.Join(frame, nil), size) {
		if _, err = f.Write(part); err != nil {
			break
		}
		if len(f.held) > maxHeldFrames {
			t.Fatalf("%d bytes are held", len(f.held))
		}
	}
	return out.String(), found, err
}

func TestFrames(t *testing.T) {
	long := strings.Repeat("some text, ", 10_000)
	for _, size := range []int{1, 3, 10, 4096, 1 << 20} {
		for what, frame := range map[string][][]byte{
			"text":            {masked(0x81, "hello"), masked(0x82, "")},
			"long":            {masked(0x81, long), masked(0x82, long[:200])},
			"in frames":       {masked(0x01, "one"), masked(0x00, "two"), masked(0x80, "three")},
			"ping in between": {masked(0x01, "one"), masked(0x89, "ping"), masked(0x80, "three"), masked(0x88, "\x03\xe8bye")},
			"ends in a start": {masked(0x81, "it is "+readable[:12])},
		} {
			left, found, err := said(t, size, frame...)
			if want := string(bytes.Join(frame, nil)); err != nil || left != want || found != nil {
				t.Errorf("%s by %d: %d of %d bytes, %v, %v", what, size, len(left), len(want), found, err)
			}
		}
	}
}

// A value is found in frames, over frames and over messages.
func TestSplitOverFrames(t *testing.T) {
	half, rest := readable[:11], readable[11:]
	for _, size := range []int{1, 3, 10, 4096} {
		for what, frame := range map[string][][]byte{
			"one frame":     {masked(0x81, "it is "+readable)},
			"frames":        {masked(0x01, "it is "+half), masked(0x80, rest)},
			"around a ping": {masked(0x01, half), masked(0x89, "ping"), masked(0x80, rest)},
			"messages":      {masked(0x81, half), masked(0x82, rest)},
			"a ping":        {masked(0x89, readable)},
			"a close":       {masked(0x88, "\x03\xe8"+readable)},
			"in hex":        {masked(0x81, hex.EncodeToString([]byte(readable)))},
			"another's":     {masked(0x81, "use "+shop+" please")},
			"bytes": func() (all [][]byte) { //nolint:nonamedreturns // short
				for i := range len(readable) {
					all = append(all, masked(0x82, readable[i:i+1]))
				}
				return all
			}(),
		} {
			left, found, err := said(t, size, frame...)
			if !errors.Is(err, scan.ErrBlocked) || len(found) != 1 || len(left) >= len(bytes.Join(frame, nil)) {
				t.Errorf("%s by %d: %v, %v", what, size, found, err)
			}
		}
	}
}

func TestBrokenFrames(t *testing.T) {
	for what, frame := range map[string][]byte{
		"unmasked":               {0x81, 5, 'h', 'e', 'l', 'l', 'o'},
		"compressed":             masked(0xc1, "hello"),
		"unknown":                masked(0x83, "hello"),
		"unknown control":        masked(0x8b, "hello"),
		"long control":           masked(0x89, strings.Repeat("x", 126)),
		"control in parts":       masked(0x09, "hello"),
		"continues nothing":      masked(0x80, "hello"),
		"begins within another":  append(masked(0x01, "hello"), masked(0x81, "hello")...),
		"longer than any":        {0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
		"of nothing and forever": append(masked(0x01, readable[:20]), bytes.Repeat(masked(0x00, ""), 20_000)...),
	} {
		if _, _, err := said(t, 4096, frame); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzFrames holds that frames leave as they came or not at all, wherever they
// are cut, and that it does not depend on that.
func FuzzFrames(f *testing.F) {
	f.Add(bytes.Join([][]byte{masked(0x01, "hello "+readable[:9]), masked(0x89, "x"), masked(0x80, readable[9:])}, nil), uint8(3))
	f.Add(masked(0x82, strings.Repeat("x", 300)), uint8(200))
	f.Add([]byte{0x81, 0xfe, 0, 3, 1, 2, 3, 4, 5, 6, 7}, uint8(1))
	f.Fuzz(func(t *testing.T, wire []byte, size uint8) {
		left, found, err := said(t, int(size)+1, wire)
		if !strings.HasPrefix(string(wire), left) {
			t.Fatal("what left is not what came")
		}
		_, again, other := said(t, len(wire)+1, wire)
		if !slices.Equal(found, again) || (err == nil) != (other == nil) {
			t.Errorf("cut: %v %v, whole: %v %v", found, err, again, other)
		}
	})
}

// TestFramesTellNothing has a client say what may be the beginning of a value,
// and wait for a server to answer the ping behind it: both leave as early or as
// late as for anything else.
func TestFramesTellNothing(t *testing.T) {
	s, err := scan.New(scan.Options{Values: []scan.Value{{Name: "V", Kind: scan.Secret, Bytes: []byte(readable)}}})
	if err != nil {
		t.Fatal(err)
	}
	tell := func(before, guess string, first byte) (left [2]int) {
		var out bytes.Buffer
		f := newFrames(s, &out, false, func(scan.Finding, bool) error { return nil })
		if _, err := f.Write(append(masked(first, before+guess), masked(0x89, "ping")...)); err != nil {
			t.Fatal(err)
		}
		left[0] = out.Len()
		if err := f.Pause(); err != nil || f.Holds() {
			t.Fatal("it holds: ", err)
		}
		left[1] = out.Len()
		return left
	}
	for _, before := range []string{"", strings.Repeat("more than is held back, ", 50)} {
		for _, first := range []byte{0x01, 0x81} {
			for _, form := range []string{readable, hex.EncodeToString([]byte(readable))} {
				for n := 1; n < len(form); n++ {
					right, wrong := tell(before, form[:n], first), tell(before, form[:n-1]+"~", first)
					if right != wrong || first == 0x81 && right[0] != right[1] || right[1] < len(before)+n+10 {
						t.Fatalf("%q: %d left of a right guess, %d of a wrong one", form[:n], right, wrong)
					}
				}
			}
		}
	}
}

// Through a gateway: no extension is agreed, and a message that holds a secret
// ends the connection.
func TestScannedWebSocket(t *testing.T) {
	f := lookWorld(t, scanned("", "a.example"))
	var mu sync.Mutex
	var heard []string
	f.serve(f.w, "a.example", func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return
		}
		defer func() { _ = conn.CloseNow() }()
		if got := r.Header.Get("Sec-WebSocket-Extensions"); got != "" {
			t.Errorf("an extension was asked for: %s", got)
		}
		for {
			_, b, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			mu.Lock()
			heard = append(heard, string(b))
			mu.Unlock()
			_ = conn.Write(r.Context(), websocket.MessageText, []byte("yes"))
		}
	}, protoHTTP1)
	dialSocket := func() *websocket.Conn {
		conn, _, err := websocket.Dial(t.Context(), "wss://a.example/socket", &websocket.DialOptions{ //nolint:bodyclose // it is the socket
			HTTPClient: f.speak(protoHTTP1), CompressionMode: websocket.CompressionContextTakeover,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.CloseNow() })
		return conn
	}
	say := func(conn *websocket.Conn, text string) error {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			return err
		}
		_, _, err := conn.Read(t.Context())
		return err
	}
	conn := dialSocket()
	for _, text := range []string{"hello", strings.Repeat("long text ", 1500), "ends in a start: " + readable[:9]} {
		if err := say(conn, text); err != nil {
			t.Fatalf("%.20s: %v", text, err)
		}
	}
	err := say(conn, "then the rest: "+readable[9:]+" and "+readable)
	if over := (websocket.CloseError{}); !errors.As(err, &over) || over.Code != websocket.StatusPolicyViolation ||
		over.Reason != "claude-bottle refused this: a WebSocket message holds the secret READABLE" {
		t.Errorf("a secret ended it so: %v", err)
	}
	e := f.eventually("its line", func(e audit.Event) bool { return e.Path == "/socket" && e.Phase == audit.Close })
	if e.Decision != audit.Denied || e.Rule != ruleScan || e.Reason != "a WebSocket message holds the secret READABLE" {
		t.Errorf("%+v", e)
	}
	conn = dialSocket()
	w, err := conn.Writer(context.Background(), websocket.MessageBinary)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{readable[:9], readable[9:]} {
		_, _ = io.WriteString(w, strings.Repeat("#", 5000)+part)
	}
	_ = w.Close()
	if _, _, err := conn.Read(t.Context()); err != nil {
		t.Error("pieces that no receiver would join: ", err)
	}
	mu.Lock()
	defer mu.Unlock()
	if slices.ContainsFunc(heard, func(text string) bool { return strings.Contains(text, readable) }) {
		t.Errorf("%q", heard)
	}
}
