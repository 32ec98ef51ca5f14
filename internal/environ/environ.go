// Package environ turns the env entries of a manifest into literals and
// secrets. A secret's value exists in the launcher's memory alone, inside a
// [Secrets], which prints as nothing.
package environ

// Kind says where an entry's value comes from.
type Kind string

// Kinds of entries. Everything that is not a Literal is a secret.
const (
	Literal Kind = "literal" // the manifest's own text
	Host    Kind = "host"    // ${NAME}: the launcher's environment
	Ask     Kind = "ask"     // "?message": asked for on the terminal
)

// Entry is one env entry, without its secret.
type Entry struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Value is a literal's text; empty for secrets.
	Value string `json:"value,omitempty"`
	// Source is the variable's name for Host, the message for Ask.
	Source string `json:"source,omitempty"`
}
