package gateway

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/policy"
)

// unmasked is a server's frame.
func unmasked(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n)) //nolint:gosec // G115: checked
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// hears gives frames of a server's to a client, cut into parts of size bytes.
func hears(t testing.TB, through filter, size int, frame ...[]byte) (string, error) {
	t.Helper()
	var out bytes.Buffer
	h := newServerFrames(&out, through)
	for part := range slices.Chunk(bytes.Join(frame, nil), size) {
		if _, err := h.Write(part); err != nil {
			return out.String(), err
		}
	}
	err := h.close()
	return out.String(), err
}

func TestServerFrames(t *testing.T) {
	long := strings.Repeat("some text, ", 10_000)
	b, err := broker.New([]broker.Secret{secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{broker: b}
	for _, through := range []filter{nil, s.echoes} {
		for _, size := range []int{1, 3, 4096, 1 << 20} {
			for what, frame := range map[string][][]byte{
				"text":            {unmasked(0x81, "hello"), unmasked(0x82, "")},
				"long":            {unmasked(0x81, long), unmasked(0x82, long[:200])},
				"in frames":       {unmasked(0x01, "one"), unmasked(0x00, ""), unmasked(0x00, "two"), unmasked(0x80, "three")},
				"ping in between": {unmasked(0x01, "one"), unmasked(0x89, "ping"), unmasked(0x80, "three"), unmasked(0x88, "\x03\xe8bye")},
				"an empty end":    {unmasked(0x01, "one"), unmasked(0x80, ""), unmasked(0x8a, "")},
				"cut short":       {unmasked(0x81, "hello")[:4]},
			} {
				got, err := hears(t, through, size, frame...)
				if want := string(bytes.Join(frame, nil)); err != nil || got != want {
					t.Errorf("%s by %d: %d of %d bytes, %v", what, size, len(got), len(want), err)
				}
			}
		}
	}
	for what, frame := range map[string][]byte{
		"masked": masked(0x81, "hello"), "compressed": unmasked(0xc1, "hello"), "unknown": unmasked(0x83, "hello"),
		"unknown control": unmasked(0x8b, "hello"), "control in parts": unmasked(0x09, "hello"), "long control": unmasked(0x89, long[:126]),
		"continues nothing": unmasked(0x80, "x"), "begins within another": append(unmasked(0x01, "x"), unmasked(0x81, "x")...),
		"longer than any": {0x82, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 0},
	} {
		if _, err := hears(t, nil, 4096, frame); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestEchoOverFrames has a server cut what it says within a secret, as one does
// that sends whatever fits its buffer, with a ping between the two, and at once: it
// is in a bubble, where no time goes by after which what is held back would go.
func TestEchoOverFrames(t *testing.T) { synctest.Test(t, echoOverFrames) }

func echoOverFrames(t *testing.T) {
	for _, value := range []string{"ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zA7b0", "Zq8wLx3vTn5kRb2mYc9pDf4h"} {
		secret := broker.Secret{Entry: policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}}, Pair: pairOf(t, value)}
		b, err := broker.New([]broker.Secret{secret})
		if err != nil {
			t.Fatal(err)
		}
		s := &server{broker: b}
		for at := range len(value) + 1 {
			for _, size := range []int{1, 7, 4096} {
				got, err := hears(t, s.echoes, size, unmasked(0x01, "you are "+value[:at]), unmasked(0x89, value),
					unmasked(0x80, value[at:]+" to me"), unmasked(0x81, value))
				want := bytes.Join([][]byte{
					unmasked(0x01, "you are "+secret.Placeholder[:at]), unmasked(0x89, secret.Placeholder),
					unmasked(0x80, secret.Placeholder[at:]+" to me"), unmasked(0x81, secret.Placeholder),
				}, nil)
				if err != nil || got != string(want) {
					t.Fatalf("cut at %d, by %d: %q, %v", at, size, got, err)
				}
			}
		}
	}
}

// Nothing is said within a frame of the server's, and a reason fits its frame.
func TestSayWhy(t *testing.T) {
	why := malformed(strings.Repeat("é", 200))
	var out bytes.Buffer
	h := newServerFrames(&out, nil)
	if _, err := h.Write(unmasked(0x81, "hello")[:4]); err != nil {
		t.Fatal(err)
	}
	if err := h.say(why); !errors.Is(err, errReframed) {
		t.Errorf("within a frame: %v", err)
	}
	if _, err := h.Write([]byte("llo")); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := h.say(why); err != nil {
		t.Fatal(err)
	}
	got := out.Bytes()
	if got[0] != 0x88 || int(got[1]) != len(got)-2 || got[1] > maxControl || binary.BigEndian.Uint16(got[2:]) != closePolicy ||
		!strings.HasPrefix(string(got[4:]), "claude-bottle refused this: é") || !strings.HasSuffix(string(got), "é") {
		t.Errorf("%q", got)
	}
}
