// Package attacks is what somebody in a bottle does to get out, or to get at
// what is outside: each attack has an id and says what came of it. The program
// in test/escape/cmd/escape runs them in any bottle; test/escape runs that on
// every platform and holds each result to its table (docs/escape.md).
//
// Nothing is sent but to what Targets names, to the bottle's own gateway and to
// the bottle's own loopback.
package attacks
