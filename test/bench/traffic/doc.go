// Package traffic makes the load under which proxies are compared: an origin
// that costs little, and clients that do one kind of exchange over and over
// and count. It speaks HTTP by hand, so that both ends together use less of
// the processor than what stands between them.
//
// Everything is on loopback. The origin's name is [Name]; who measures a proxy
// tells it that the name is 127.0.0.1.
package traffic

// Name is what the origin is called in requests and certificates.
const Name = "origin.example"

// answer is the body of every answer to a request.
var answer = make([]byte, 1024)
