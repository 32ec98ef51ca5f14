// Package failpoint marks the places where a crash is interesting. In a
// release build every mark compiles to nothing; with the build tag
// "failpoints" the environment variable CLAUDE_BOTTLE_FAILPOINT=NAME[:ACTION[:N]]
// makes the process kill itself (ACTION "kill", the default), fail ("error"),
// wait ("hang") or stop itself until SIGCONT ("stop") there, each time it passes
// or only the Nth, and CLAUDE_BOTTLE_FAILPOINT_LIST=FILE appends the name of
// every point passed to FILE. CLAUDE_BOTTLE_FAILPOINT_TRACE=FILE appends to FILE when points were
// passed, and when each Span began and ended.
package failpoint
