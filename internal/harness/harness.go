// Package harness is a table of coding agents: how each is started, made
// ready, told its role and its prompt, and given its token. It writes no
// file; it says which files there should be.
package harness

import (
	"slices"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/provision"
)

// Harness is one row of the table, or a manifest's own command.
type Harness struct {
	Name string
	// Egress is what the harness cannot work without, as entries of an
	// allowlist.
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
	// Login is the command by which the harness gets a credential for Tokens[0],
	// which it prints.
	Login []string
	// Others is how variables begin by which the harness is led to other
	// servers and credentials.
	Others []string
	// BaseURL is the variable that leads the harness to another server than
	// that of its credential; empty for none.
	BaseURL string
	// RemoteControl and Once say what of `start` it understands: Start's
	// fields of those names.
	RemoteControl bool
	Once          bool
	// Package is what the harness is installed from; nil for one that is not.
	Package *Package
}

// Package is a harness in the npm registry.
type Package struct {
	Command string // by which the harness is called
	Name    string // the registry's
	Version string
	// Program is where the program is below the directory that the package was
	// installed to without running its scripts: a pattern (path.Match) that one
	// file matches.
	Program string
}

// Spec is the package as npm takes it.
func (p Package) Spec() string { return p.Name + "@" + p.Version }

// Token maps a variable of the launcher to one inside, which gets a placeholder
// of it. Use says where the harness needs it, and Remote are the paths that
// steering it from elsewhere needs beside.
type Token struct {
	From, Name string
	Use        policy.Secret
	Remote     []string
	Renew      *environ.Renew // where what a login kept is renewed
	// Scopes is the variable inside that says what the credential may do, and
	// has to say Scope where it is steered from elsewhere. Without it the
	// credential cannot be.
	Scopes, Scope string
	// Prefix is how such a credential begins; empty for any.
	Prefix string
}

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

// table is in the order in which people read it.
func table() []Harness {
	return []Harness{claude()}
}

// Named returns the row called name.
func Named(name string) (Harness, bool) {
	rows := table()
	i := slices.IndexFunc(rows, func(h Harness) bool { return h.Name == name })
	if i < 0 {
		return Harness{}, false
	}
	return rows[i], true
}

// Credentials are the variables that carry the credential of a harness: the
// launcher's, and those inside.
func Credentials() []string {
	var names []string
	for _, row := range table() {
		for _, token := range row.Tokens {
			names = append(names, token.From, token.Name)
		}
	}
	return names
}

// Names lists the rows.
func Names() []string {
	var names []string
	for _, h := range table() {
		names = append(names, h.Name)
	}
	return names
}

// Command is a harness that is any program: it reaches nothing by itself,
// has no credential, and gets nothing but git's configuration.
func Command(argv []string) Harness {
	argv = slices.Clone(argv)
	return Harness{
		Name: "command",
		Ready: func(s Setup) ([]provision.File, []environ.Entry) {
			return gitConfig(s), nil
		},
		Argv: func(s Start) []string { return slices.Concat(argv, s.Args) },
	}
}
