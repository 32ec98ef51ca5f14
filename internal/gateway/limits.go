package gateway

import "time"

// limits bound what one client, and all of them, can hold. Together with the
// constants below they keep a bottle that opens every connection, fills every
// head and reads no answer below some 150 MiB (TestHogMemory).
type limits struct {
	head        time.Duration // from the first byte of a head to its last; also until a tunnel's first byte
	keepAlive   time.Duration // between two requests
	idle        time.Duration // without a byte in either direction
	dial        time.Duration // name look-up and all addresses together
	linger      time.Duration // to let a client read a last answer
	connections int           // clients at once
}

// defaultLimits: idle is long because an agent's answer may be minutes in
// the making; peers that are gone are found by TCP keep-alive before.
func defaultLimits() limits {
	return limits{
		head:        30 * time.Second,
		keepAlive:   2 * time.Minute,
		idle:        time.Hour,
		dial:        30 * time.Second,
		linger:      2 * time.Second,
		connections: min(2048, descriptors()/3), // each has one to the world; the rest is in reserve
	}
}

const (
	maxHead     = 64 << 10 // bytes of a request's or response's head
	smallHead   = 8 << 10  // bytes of a head, beyond which it is one of largeHeads
	largeHeads  = 256      // exchanges at once with a larger head
	maxFields   = 128      // header fields of one head
	maxInterim  = 32       // 1xx answers before the final one
	maxChunkExt = 256      // bytes of a chunk's size line
	maxHello    = 8 << 10  // bytes of a ClientHello message
	maxDial     = 8        // addresses of one name that are tried
	bufferSize  = 16 << 10 // of a copy that is under way
	readerSize  = 4 << 10  // of a connection that is read

	maxMultiplexed   = 64        // HTTP/2 clients at once; others speak HTTP/1.1
	clientStreams    = 64        // requests at once of one HTTP/2 client
	maxStreams       = 1024      // requests at once of all of them
	streamWindow     = 256 << 10 // bytes of a request's body before it moves on
	connectionWindow = 1 << 20   // bytes of all bodies of one connection, likewise, on each side
	leastWindow      = 64 << 10  // bytes of it where windowMemory is used up
	windowMemory     = 24 << 20  // bytes of all connections' windows
	maxUpstreams     = 16        // connections upstream of one HTTP/2 client
	maxDials         = 32        // of them that are made for one request
	maxSendings      = 8         // times that one request is sent; net/http waits between those of a stream that is refused, and ends with the 7th
	maxSessions      = 256       // TLS sessions with origins that are kept
)
