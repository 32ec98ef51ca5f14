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
	stuck       time.Duration // for requests of a client that is gone to end
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
		stuck:       10 * time.Second,
		connections: min(2048, descriptors()/3), // each has one to the world; the rest is in reserve
	}
}

const (
	maxHead     = 64 << 10 // bytes of a request's or response's head
	smallHead   = 8 << 10  // bytes of a head, beyond which it is one of largeHeads
	largeHeads  = 128      // exchanges at once with a larger head
	maxFields   = 128      // header fields of one head
	maxInterim  = 32       // 1xx answers before the final one
	maxChunkExt = 256      // bytes of a chunk's size line
	maxHello    = 8 << 10  // bytes of a ClientHello message
	maxDial     = 8        // addresses of one name that are tried
	bufferSize  = 16 << 10 // of a copy that is under way
	readerSize  = 4 << 10  // of a connection that is read

	maxMultiplexed = 32       // HTTP/2 clients at once; others speak HTTP/1.1
	clientStreams  = 64       // requests at once of one HTTP/2 client
	leastStreams   = 4        // of them, however many clients there are
	maxStreams     = 512      // requests at once of all of them
	frameSize      = 16 << 10 // bytes of a frame of theirs: what RFC 9113 demands, since each connection keeps room for one
	crowd          = 128      // of them, from which on each makes do with crowdedSize
	crowdedSize    = 4 << 10  // bytes of a copy that is under way
	clientWindow   = 64 << 10 // bytes of a client's bodies before they move on: the least that HTTP/2 knows
	upstreamWindow = 1 << 20  // bytes of the answers of one connection upstream, likewise
	leastWindow    = 64 << 10 // bytes of it where windowMemory is used up
	windowMemory   = 4 << 20  // bytes of all connections' windows upstream
	usualBody      = 32 << 10 // bytes that a body is read with at once, beyond which they come out of frameMemory
	frameMemory    = 32 << 20 // bytes of what bodies are read with towards origins that want larger frames
	maxUpstreams   = 16       // connections upstream of one HTTP/2 client
	leastUpstreams = 2        // of them, where the client has few requests
	maxDials       = 32       // of them that are made for one request
	maxSendings    = 8        // times that one request is sent; net/http waits between those of a stream that is refused, and ends with the 7th
	maxSessions    = 256      // TLS sessions with origins that are kept
)
