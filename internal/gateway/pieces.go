package gateway

import "net"

// eachPieceBuffered is eachPiece for a connection that is no socket.
func eachPieceBuffered(conn net.Conn, use func([]byte) error) error {
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	for {
		n, err := conn.Read(buffer[:])
		if n > 0 {
			if err := use(buffer[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}
