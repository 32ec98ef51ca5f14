package scan

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"strings"
	"testing"
)

func compressed(t *testing.T, encoding string, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&out)
	switch encoding {
	case "zlib":
		w = zlib.NewWriter(&out)
	case "flate":
		w, _ = flate.NewWriter(&out, 6)
	}
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestDecode(t *testing.T) {
	plain := []byte("before " + sample + " behind")
	s := withSecret(t, sample)
	for _, test := range []struct{ header, encoding string }{
		{"gzip", "gzip"}, {"X-Gzip", "gzip"}, {"deflate", "zlib"}, {"deflate", "flate"},
	} {
		r, err := Decode(test.header, bytes.NewReader(compressed(t, test.encoding, plain)), 0)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil || len(all(s, string(text))) != 1 {
			t.Errorf("%s: %q, %v", test.header, text, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, encoding := range []string{"br", "zstd", "compress", "gzip, gzip", "x"} {
		if _, err := Decode(encoding, strings.NewReader(""), 0); !errors.Is(err, ErrEncoding) {
			t.Errorf("%s: %v", encoding, err)
		}
	}
	good := compressed(t, "gzip", []byte(strings.Repeat("plain text, ", 100)))
	for what, body := range map[string][]byte{
		"no gzip":   []byte("plain"),
		"cut short": good[:len(good)-10],
		"broken":    append(bytes.Clone(good[:20]), make([]byte, 40)...),
		"nothing":   nil,
	} {
		r, err := Decode("gzip", bytes.NewReader(body), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err == nil {
			t.Errorf("%s: decoded", what)
		}
	}
}

// A few kilobytes that become gigabytes end early, and the memory stays small.
func TestDecodeBomb(t *testing.T) {
	bomb := compressed(t, "gzip", make([]byte, 12<<20))
	r, err := Decode("gzip", bytes.NewReader(bomb), 0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, r)
	if !errors.Is(err, ErrBomb) || n > 2<<20 {
		t.Errorf("%d bytes came out of a bomb: %v", n, err)
	}
	r, _ = Decode("gzip", bytes.NewReader(compressed(t, "gzip", []byte(strings.Repeat("0123456789", 100)))), 500)
	if n, err := io.Copy(io.Discard, r); !errors.Is(err, ErrBomb) || n > 500 {
		t.Errorf("%d bytes against a bound of 500: %v", n, err)
	}
}
