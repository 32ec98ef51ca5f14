package docker

import (
	"bufio"
	"encoding/binary"
	"io"
	"strings"
	"testing"

	"github.com/moby/moby/client"
)

// framed is what an engine sends for texts on standard output.
func framed(texts ...string) io.Reader {
	var sent strings.Builder
	for _, text := range texts {
		header := [frameHeader]byte{frameStdout}
		binary.BigEndian.PutUint32(header[4:], uint32(len(text)))
		sent.Write(header[:])
		sent.WriteString(text)
	}
	return strings.NewReader(sent.String())
}

func TestRefusalOfTheEngine(t *testing.T) {
	for _, c := range []struct {
		texts []string
		exec  bool
		want  string // in the error; empty for none
	}{
		{[]string{"OCI runtime exec failed: no such user\r\n"}, true, "could not start the command: OCI runtime exec failed: no such user"},
		{[]string{"cannot exec in a stopped state: unknown\r\n"}, true, "could not start the command: cannot exec in a stopped state"},
		{[]string{"\x02\x00\x00\x00\x00", "later text"}, true, ""},
		{[]string{"", "\x1f\x00\x00\x00\x00"}, true, ""},
		{[]string{"text of a container"}, false, ""},
	} {
		s := newStream(client.HijackedResponse{Reader: bufio.NewReader(framed(c.texts...))})
		s.refusal = c.exec
		got, err := io.ReadAll(s)
		switch {
		case c.want == "" && (err != nil || string(got) != strings.Join(c.texts, "")):
			t.Errorf("%q: %q, %v", c.texts, got, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%q: error %v", c.texts, err)
		}
	}
}
