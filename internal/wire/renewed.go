package wire

import (
	"fmt"
	"io"
)

// Renewed is a login that the gateway renewed, for the launcher to keep: the one
// that it had is worth nothing now. It prints as nothing.
type Renewed struct {
	Name  string `json:"name"`  // of the secret
	Login string `json:"login"` // as broker.ParseLogin reads it
}

// String shows the name.
func (r Renewed) String() string { return "renewed " + r.Name }

// Format is String, whatever the verb.
func (r Renewed) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }
