package gateway

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"claude-bottle/internal/policy"
)

// framed puts an origin behind api.example that speaks HTTP/2 frame by frame.
func (b *brokered) framed(w *world, serve func(o *badOrigin)) {
	cert := b.notary.sign("api.example")
	w.host("api.example", 443, listen(b.t.(*testing.T), func(raw net.Conn) {
		conn := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{protoHTTP2}})
		preface := make([]byte, len(http2.ClientPreface))
		br := bufio.NewReader(conn)
		if _, err := io.ReadFull(br, preface); err != nil {
			return
		}
		o := &badOrigin{conn: conn, framer: http2.NewFramer(conn, br)}
		o.fields = hpack.NewEncoder(&o.block)
		if o.framer.WriteSettings() != nil {
			return
		}
		serve(o)
	}))
}

// asked is the next request's stream and the block of its head.
func (o *badOrigin) asked() (uint32, []byte, error) {
	for {
		f, err := o.framer.ReadFrame()
		if err != nil {
			return 0, nil, err
		}
		switch f := f.(type) {
		case *http2.HeadersFrame:
			return f.StreamID, append([]byte(nil), f.HeaderBlockFragment()...), nil
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = o.framer.WriteSettingsAck()
			}
		}
	}
}

// Towards a secret's host no field of a request is kept in a table: a head is
// as long as it is whether it repeats a secret or not.
func TestNoTableOfHeaders(t *testing.T) {
	w := newWorld()
	s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
	f := brokerWorld(t, w, policy.Egress{}, s)
	blocks := make(chan []byte, 3)
	f.framed(w, func(o *badOrigin) {
		for {
			id, block, err := o.asked()
			if err != nil {
				return
			}
			blocks <- block
			if o.head(id, o.encode(":status", "204"), true) != nil {
				return
			}
		}
	})
	c := f.speak(protoHTTP2)
	var lengths []int
	for range 3 {
		if got := fetch(t, c, "GET", "https://api.example/x", nil, bearer(s.Placeholder)); got.StatusCode != http.StatusNoContent {
			t.Fatal(got.Status)
		}
		block, said := <-blocks, ""
		// With room for nothing, what is in the block by its number is an error.
		d := hpack.NewDecoder(noTable, func(f hpack.HeaderField) {
			if f.Name == "authorization" {
				said = f.Value
			}
		})
		if _, err := d.Write(block); err != nil || said != "Bearer "+s.Value {
			t.Errorf("the block is not by itself: %v", err)
		}
		lengths = append(lengths, len(block))
	}
	if lengths[1] != lengths[2] {
		t.Errorf("the same head is %v bytes long", lengths)
	}
}

// What HTTP/2 has beside requests and answers brings no secret back: a server
// can push none, and what it says when it goes away or resets is not passed on.
func TestFramesBringNothingBack(t *testing.T) {
	for what, say := range map[string]func(o *badOrigin, id uint32, token string) error{
		"a push": func(o *badOrigin, id uint32, token string) error {
			return o.framer.WritePushPromise(http2.PushPromiseParam{
				StreamID: id, PromiseID: 2, EndHeaders: true,
				BlockFragment: o.encode(":method", "GET", ":scheme", "https", ":authority", "api.example", ":path", "/"+token),
			})
		},
		"a ping": func(o *badOrigin, id uint32, token string) error {
			var data [8]byte
			copy(data[:], token)
			if err := o.framer.WritePing(false, data); err != nil {
				return err
			}
			return o.head(id, o.encode(":status", "204"), true)
		},
		"the last words": func(o *badOrigin, _ uint32, token string) error {
			return o.framer.WriteGoAway(0, http2.ErrCodeProtocol, []byte(token))
		},
		"a field that is none": func(o *badOrigin, id uint32, token string) error {
			return o.head(id, o.encode(":status", "200", ":"+token, token), true)
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld()
			s := secretFor(t, policy.Secret{Name: "TOKEN", Hosts: []string{"api.example"}})
			f := brokerWorld(t, w, policy.Egress{}, s)
			f.framed(w, func(o *badOrigin) {
				id, _, err := o.asked()
				if err != nil || say(o, id, s.Value) != nil {
					return
				}
				silence(o.conn)
			})
			got := fetch(t, f.speak(protoHTTP2), "GET", "https://api.example/x", nil, bearer(s.Placeholder))
			if text := fmt.Sprint(got.Status, got.Header, got.Trailer, got.body); strings.Contains(strings.ToLower(text), strings.ToLower(s.Value)) {
				t.Errorf("it came back: %s", text)
			}
		})
	}
}
