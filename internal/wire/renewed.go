package wire

import (
	"fmt"
	"io"
)

// Renew is a gateway's wish to renew a login. It waits for its Turn.
type Renew struct {
	Name string `json:"name"` // of the secret
}

// Turn is the launcher's answer to a Renew: what is worth something of a login
// now, since another run may have renewed it, or why it is not to be renewed
// yet. A turn that is not refused ends with Renewed. It prints as nothing.
type Turn struct {
	Name    string `json:"name"`
	Login   string `json:"login,omitempty"`   // as broker.ParseLogin reads it; empty when none is kept
	Refused string `json:"refused,omitempty"` // why; empty for a turn
}

// String shows the name.
func (t Turn) String() string { return "a turn to renew " + t.Name }

// Format is String, whatever the verb.
func (t Turn) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// Renewed ends a turn: with a login that the gateway renewed, for the launcher
// to keep, since the one that it had is worth nothing now, or with none. It
// prints as nothing.
type Renewed struct {
	Name  string `json:"name"`            // of the secret
	Login string `json:"login,omitempty"` // as broker.ParseLogin reads it; empty when nothing was renewed
}

// String shows the name.
func (r Renewed) String() string { return "renewed " + r.Name }

// Format is String, whatever the verb.
func (r Renewed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }
