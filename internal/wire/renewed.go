package wire

// Renewed is a login that the gateway renewed, for the launcher to keep: the one
// that it had is worth nothing now. It prints as nothing.
type Renewed struct {
	Name  string `json:"name"`  // of the secret
	Login string `json:"login"` // as broker.ParseLogin reads it
}

// String shows the name; GoString too.
func (r Renewed) String() string { return "renewed " + r.Name }

// GoString is String.
func (r Renewed) GoString() string { return r.String() }
