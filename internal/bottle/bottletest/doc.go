// Package bottletest holds platforms to one contract: [Run] is the suite that
// every platform passes, and [Fake] is a platform without isolation that
// passes it, for tests of what is above platforms. It is imported by tests
// alone.
package bottletest
