//go:build linux

package attacks

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Outcome is what came of an attack.
type Outcome string

// Outcomes.
const (
	// Stopped: it was tried, and did not get through.
	Stopped Outcome = "stopped"
	// Through: it worked, in part or in whole.
	Through Outcome = "through"
	// Absent: what it attacks is not there, or nobody named it.
	Absent Outcome = "absent"
)

// Attack is one row of the table.
type Attack struct {
	// ID is "family/name".
	ID string
	// What is tried, for people.
	What string
	// Full says that it takes long: it is no part of the sample.
	Full bool

	try func(ctx context.Context, t Targets) result
}

// Family is the first part of the id.
func (a Attack) Family() string {
	family, _, _ := strings.Cut(a.ID, "/")
	return family
}

// Result is what came of one attack.
type Result struct {
	ID       string  `json:"id"`
	Outcome  Outcome `json:"outcome"`
	Happened string  `json:"happened"`
	// Milliseconds is how long it took.
	Milliseconds int64 `json:"milliseconds"`
}

// result is a Result of an attack that does not know its own id.
type result struct {
	outcome  Outcome
	happened string
}

func through(format string, args ...any) result {
	return result{Through, fmt.Sprintf(format, args...)}
}

func stopped(format string, args ...any) result {
	return result{Stopped, fmt.Sprintf(format, args...)}
}

// cameOf is the result of a way: whether it let something through, and what
// was said.
func cameOf(open bool, said string) result {
	if open {
		return through("%s", said)
	}
	return stopped("%s", said)
}

func absent(format string, args ...any) result {
	return result{Absent, fmt.Sprintf(format, args...)}
}

// Table is every attack, in the order of the documents.
func Table() []Attack {
	return slices.Concat(
		networkAttacks(), gatewayAttacks(), nameAttacks(), disagreements(), dnsAttacks(), socketAttacks(), callAttacks(),
		foreignAttacks(), rightsAttacks(), namespaceAttacks(), processAttacks(), fileAttacks(), kernelFileAttacks(),
	)
}

// Find is the attack, or control, of an id.
func Find(id string) (Attack, bool) {
	table := append(Table(), Controls()...)
	at := slices.IndexFunc(table, func(a Attack) bool { return a.ID == id })
	if at < 0 {
		return Attack{}, false
	}
	return table[at], true
}
