package broker

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func TestEcho(t *testing.T) {
	b := broker(t, github(), other())
	if !b.SameLength() {
		t.Error("the lengths differ")
	}
	for name, body := range map[string]string{
		"as it is":     `{"auth": "Bearer ` + real + `"}` + real + real2,
		"in Basic":     basic("x", real),
		"in hex":       hex.EncodeToString([]byte(real)),
		"escaped":      strings.ReplaceAll(url.QueryEscape(real), "R", "%52"),
		"a slice":      "..." + real[:38] + "...",
		"the other's":  strings.Repeat(real2+"\n", 3),
		"nothing":      "ghp_R3alR3al and so on",
		"begun, twice": real[:39] + real,
	} {
		for _, step := range []int{1, 7, 1000} {
			var out bytes.Buffer
			w := b.Answer(&out)
			for part := range slices.Chunk([]byte(body), step) {
				if n, err := w.Write(part); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got := out.String()
			if len(got) != len(body) {
				t.Errorf("%s: %d bytes became %d", name, len(body), len(got))
			}
			for _, secret := range []string{real, real2, real[4:36], base64.StdEncoding.EncodeToString([]byte(real))[4:40], hex.EncodeToString([]byte(real))} {
				if strings.Contains(got, secret) {
					t.Errorf("%s by %d: %q", name, step, got)
				}
			}
			if name == "as it is" && strings.Count(got, fake) != 2 || name == "nothing" && got != body {
				t.Errorf("%s by %d: %q", name, step, got)
			}
		}
	}
}

// A server that answers in capitals tells a value of one case as well, and most
// of one of both.
func TestEchoInAnotherCase(t *testing.T) {
	for _, value := range []string{"0123456789abcdef0123456789abcdef01234567", "KEY-ABCDEFGHIJ-0123456789", "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zA7b0"} {
		s := github()
		s.Pair = Pair{Value: value, Placeholder: strings.Repeat("-", len(value))}
		b := broker(t, s)
		for _, text := range []string{strings.ToUpper(value), strings.ToLower(value)} {
			var out bytes.Buffer
			w := b.Answer(&out)
			_, _ = w.Write([]byte("you said " + text))
			if err := w.Close(); err != nil || strings.Contains(out.String(), text) || strings.Contains(out.String(), text[20:]) {
				t.Errorf("%q: %v", out.String(), err)
			}
		}
	}
}

// TestEchoDrips has a server send a value bit by bit, and wait in between for
// less than a network may.
func TestEchoDrips(t *testing.T) {
	const most = 8 // of what must not be told at a stretch
	for _, value := range []string{"Zq8wLx3vTn5kRb2mYc9pDf4h", "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zA7b0"} {
		s := github()
		s.Pair = Pair{Value: value, Placeholder: strings.Repeat("-", len(value))}
		b := broker(t, s)
		for step := 1; step <= most; step++ {
			var out bytes.Buffer
			w := b.Answer(&out)
			for part := range slices.Chunk([]byte("a line\nit is "+value+"."), step) {
				if _, err := w.Write(part); err != nil {
					t.Fatal(err)
				}
				if err := w.FlushLine(); err != nil {
					t.Fatal(err)
				}
			}
			if out.String() != "a line\n" {
				t.Errorf("%d at a time: %q left early", step, out.String())
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for i := range len(value) - most {
				if strings.Contains(out.String(), value[i:i+most]) {
					t.Fatalf("%d at a time: %q", step, out.String())
				}
			}
		}
	}
}

// TestAnswerTellsNothing has a server say what the bottle chose: what leaves of
// it, and when, is the same for the beginning of a value and for anything else.
func TestAnswerTellsNothing(t *testing.T) {
	b := broker(t, github(), other())
	tell := func(text string) (left [4]int) {
		var out bytes.Buffer
		w := b.Answer(&out)
		for i, step := range []func() error{
			func() error { _, err := w.Write([]byte(text)); return err }, w.FlushLine, w.Flush,
			func() error { _, err := w.Write([]byte("#")); return err },
		} {
			if err := step(); err != nil {
				t.Fatal(err)
			}
			left[i] = out.Len()
		}
		return left
	}
	for _, before := range []string{"", "a line\nand ", strings.Repeat("more than is ever held back ", 100)} {
		for _, value := range []string{real, real2, hex.EncodeToString([]byte(real)), base64.StdEncoding.EncodeToString([]byte(real2))} {
			for n := 1; n < 16; n++ {
				right, wrong := tell(before+value[:n]), tell(before+value[:n-1]+"~")
				if right != wrong {
					t.Fatalf("%q: %d left of a right guess, %d of a wrong one", value[:n], right, wrong)
				}
			}
		}
	}
}

func TestEchoHeader(t *testing.T) {
	b := broker(t, github())
	h := http.Header{"Location": {"https://x.example/?t=" + real}, "X-Echo": {basic("a", real)}, "X-" + real: {"x"}, http.CanonicalHeaderKey("X-" + real): {"x"}, strings.ToLower(real): {"x"}, "Date": {"today"}}
	b.EchoHeader(h)
	if text := fmt.Sprint(h); strings.Contains(strings.ToLower(text), strings.ToLower(real)) || strings.Contains(text, basic("a", real)[10:]) {
		t.Error(text)
	}
	if h.Get("Location") != "https://x.example/?t="+fake || h.Get("Date") != "today" {
		t.Errorf("%v", h)
	}
}
