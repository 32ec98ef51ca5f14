//go:build !unix

package gateway

import "net"

func eachPiece(conn net.Conn, use func([]byte) error) error { return eachPieceBuffered(conn, use) }

func quiet(net.Conn) bool { return false }

func descriptors() int { return 1024 }
