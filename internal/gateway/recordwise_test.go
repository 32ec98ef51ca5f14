package gateway

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"testing/iotest"
)

// TestRecords: what is read of records is what was sent, however it is cut, and
// no read goes over the end of one.
func TestRecords(t *testing.T) {
	var sent []byte
	ends := map[int]bool{}
	for _, size := range []int{1, 0, 5, 16 << 10, 3, firstRecord, 16<<10 + 256, 0, 2} {
		sent = append(sent, 23, 3, 3, byte(size>>8), byte(size))
		sent = append(sent, bytes.Repeat([]byte{byte(size)}, size)...)
		ends[len(sent)] = true
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"as it comes":  func(r io.Reader) io.Reader { return r },
		"in bytes":     iotest.OneByteReader,
		"in halves":    iotest.HalfReader,
		"with its end": iotest.DataErrReader,
	} {
		for _, size := range []int{1, 3, 5, 512, 18 << 10, 64 << 10} {
			r := &recordwise{Conn: &scripted{Reader: cut(bytes.NewReader(sent))}}
			var got []byte
			buffer := make([]byte, size)
			for {
				n, err := r.Read(buffer)
				for at := len(got) + 1; at < len(got)+n; at++ {
					if ends[at] {
						t.Fatalf("%s by %d: a read goes from %d to %d", name, size, len(got), len(got)+n)
					}
				}
				got = append(got, buffer[:n]...)
				if err != nil {
					break
				}
			}
			if !bytes.Equal(got, sent) {
				t.Errorf("%s by %d: %d of %d bytes", name, size, len(got), len(sent))
			}
		}
	}
}

// What crypto/tls keeps of a connection that brought many full records is room
// for one.
func TestRecordsRoom(t *testing.T) {
	cert, _ := certificate(t, "a.example")
	const connections = 64
	held := func(wrap func(net.Conn) net.Conn) int64 {
		var all sync.WaitGroup
		defer all.Wait()
		var keep []net.Conn
		defer func() {
			for _, conn := range keep {
				conn.Close()
			}
		}()
		before := heapOf()
		for range connections {
			address := listen(t, func(conn net.Conn) {
				server := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, DynamicRecordSizingDisabled: true})
				_, _ = server.Write(make([]byte, 1<<20))
				_, _ = server.Read(make([]byte, 1))
			})
			conn := tls.Client(wrap(dial(t, address)), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // nothing is verified here
			if _, err := io.CopyN(io.Discard, conn, 1<<20); err != nil {
				t.Fatal(err)
			}
			keep = append(keep, conn)
		}
		grown := heapOf() - before
		runtime.KeepAlive(keep)
		return grown
	}
	plain := held(func(conn net.Conn) net.Conn { return conn })
	wrapped := held(func(conn net.Conn) net.Conn { return &recordwise{Conn: conn} })
	if plain-wrapped < connections*10<<10 {
		t.Errorf("%d KiB a connection, %d without", wrapped>>10/connections, plain>>10/connections)
	}
}
