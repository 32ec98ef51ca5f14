package gateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

type extension struct {
	kind uint16
	data []byte
}

func sniData(name string) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(name)+3))
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(name)))
	return append(b, name...)
}

// helloMessageOf is a ClientHello message with the given extensions.
func helloMessageOf(extensions ...extension) []byte {
	var ext []byte
	for _, e := range extensions {
		ext = binary.BigEndian.AppendUint16(ext, e.kind)
		ext = binary.BigEndian.AppendUint16(ext, uint16(len(e.data)))
		ext = append(ext, e.data...)
	}
	body := append([]byte{3, 3}, make([]byte, 32)...)
	body = append(body, 0, 0, 2, 0x13, 0x01, 1, 0)
	body = binary.BigEndian.AppendUint16(body, uint16(len(ext)))
	body = append(body, ext...)
	return append([]byte{1, 0, byte(len(body) >> 8), byte(len(body))}, body...)
}

func records(message []byte, size int) []byte {
	var b []byte
	for len(message) > 0 {
		n := min(size, len(message))
		b = append(b, 22, 3, 1, byte(n>>8), byte(n))
		b = append(b, message[:n]...)
		message = message[n:]
	}
	return b
}

func buildHello(t testing.TB, name string, more ...extension) []byte {
	t.Helper()
	var all []extension
	if name != "" {
		all = append(all, extension{extServerName, sniData(name)})
	}
	return records(helloMessageOf(append(all, more...)...), 1<<14)
}

func TestReadHello(t *testing.T) {
	real := clientHello(t, &tls.Config{ServerName: "a.example"})
	message := helloMessageOf(extension{10, []byte{0, 2, 0, 29}}, extension{extServerName, sniData("a.example")})
	for name, raw := range map[string][]byte{
		"real client":          real,
		"one record":           records(message, 1<<14),
		"a record for a byte":  records(message, 1),
		"two records":          records(message, len(message)/2+1),
		"with bytes behind it": append(records(message, 1<<14), "more"...),
	} {
		br := bufio.NewReader(bytes.NewReader(raw))
		got, h, err := readHello(br)
		if err != nil || h.name != "a.example" || h.ech {
			t.Errorf("%s: %+v %v", name, h, err)
		}
		rest, _ := io.ReadAll(br)
		if string(got)+string(rest) != string(raw) {
			t.Errorf("%s: what was read is not what was there", name)
		}
	}
}

func TestReadHelloRefuses(t *testing.T) {
	good := helloMessageOf(extension{extServerName, sniData("a.example")})
	changed := func(i int, b byte) []byte {
		m := bytes.Clone(good)
		m[i] = b
		return records(m, 1<<14)
	}
	long := helloMessageOf(extension{21, make([]byte, maxHello)})
	for name, tt := range map[string]struct {
		raw  []byte
		want error
	}{
		"http":                 {[]byte("GET / HTTP/1.1\r\n\r\n"), errNotTLS},
		"SSLv2":                {[]byte{0x80, 0x2e, 1, 3, 1, 0, 0}, errNotTLS},
		"alert":                {[]byte{21, 3, 3, 0, 2, 2, 0}, errNotTLS},
		"server hello":         {changed(0, 2), errNotTLS},
		"empty record":         {append([]byte{22, 3, 1, 0, 0}, records(good, 99)...), errHello},
		"too long":             {records(long, 1<<14), errHelloSize},
		"says too long":        {[]byte{22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff}, errHelloSize},
		"two names":            {buildHello(t, "a.example", extension{extServerName, sniData("b.example")}), errHello},
		"two names in a list":  {records(helloMessageOf(extension{extServerName, twoNames()}), 1<<14), errHello},
		"empty name":           {records(helloMessageOf(extension{extServerName, sniData("")}), 1<<14), errHello},
		"name type 1":          {records(helloMessageOf(extension{extServerName, append([]byte{0, 4, 1}, 0, 1, 'a')}), 1<<14), errHello},
		"long session":         {changed(38, 33), errHello},
		"bytes in the message": {records(append(bytes.Clone(good), 0), 1<<14), errHello},
		"short extensions":     {changed(len(good)-len(sniData("a.example"))-5, 3), errHello},
	} {
		if _, h, err := readHello(bufio.NewReader(bytes.NewReader(tt.raw))); !errors.Is(err, tt.want) {
			t.Errorf("%s: %+v %v, want %v", name, h, err, tt.want)
		}
	}
	whole := records(good, 1<<14)
	for n := range whole {
		if _, _, err := readHello(bufio.NewReader(bytes.NewReader(whole[:n]))); err == nil {
			t.Errorf("the first %d bytes were enough", n)
		}
	}
}

func twoNames() []byte {
	one := sniData("a.example")[2:]
	both := append(bytes.Clone(one), sniData("b.example")[2:]...)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(both))), both...)
}

// FuzzHello holds the parser to its bounds and to what crypto/tls, an
// independent parser, finds in the same bytes.
func FuzzHello(f *testing.F) {
	f.Add(buildHello(f, "a.example"))
	f.Add(buildHello(f, ""))
	f.Add(records(helloMessageOf(extension{extServerName, twoNames()}), 7))
	f.Add(clientHello(f, &tls.Config{ServerName: "a.example"}))
	f.Fuzz(func(t *testing.T, data []byte) {
		raw, h, err := readHello(bufio.NewReader(bytes.NewReader(data)))
		if !bytes.HasPrefix(data, raw) || len(raw) > 4*maxHello {
			t.Fatalf("%d bytes were read of %d", len(raw), len(data))
		}
		if err != nil {
			return
		}
		if name, ok := standardName(raw); ok && !strings.EqualFold(strings.TrimSuffix(name, "."), strings.TrimSuffix(h.name, ".")) {
			t.Fatalf("%x: %q here, %q to crypto/tls", raw, h.name, name)
		}
	})
}

// standardName is the server name that crypto/tls finds, if it takes the
// ClientHello at all.
func standardName(raw []byte) (name string, ok bool) {
	conn := &scripted{Reader: bytes.NewReader(raw)}
	_ = tls.Server(conn, &tls.Config{GetConfigForClient: func(info *tls.ClientHelloInfo) (*tls.Config, error) {
		name, ok = info.ServerName, true
		return nil, io.EOF
	}}).HandshakeContext(context.Background())
	return name, ok
}
