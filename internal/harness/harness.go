// Package harness is a table of coding agents: how each is started, made
// ready, told its role and its prompt, and given its token. It writes no
// file; it says which files there should be.
package harness

import (
	"claude-bottle/internal/environ"
	"claude-bottle/internal/provision"
)

// Harness is one row of the table, or a manifest's own command.
type Harness struct {
	Name string
	// Egress is what the harness cannot work without.
	Egress []string
	// Ready gives the files and the environment that make the first start
	// show its input line.
	Ready func(Setup) ([]provision.File, []environ.Entry)
	// Argv is the command line of one start.
	Argv func(Start) []string
	// Tokens are the environment variables of the launcher that carry the
	// harness's credential, best first; the first that is set is forwarded
	// under Name.
	Tokens []Token
	// Can says what of `start` it understands.
	RemoteControl bool
}

// Token maps a variable of the launcher to one inside.
type Token struct{ From, Name string }

// Setup is what a harness must know to be made ready. Paths are the bottle's.
type Setup struct {
	Home, Workspace  string
	GitName, GitMail string
	Prompt           string // the agent's role; empty for none
	Token            string // the name of the variable inside that carries the credential; empty for none
}

// Start is what one start of the harness is told.
type Start struct {
	Home          string
	HasPrompt     bool   // Setup.Prompt was provisioned
	Once          string // --prompt: run this without a terminal and print the answer
	RemoteControl bool
	Args          []string // after "--"
}
