package manifest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"claude-bottle/internal/broker"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/policy"
)

// Patterns of what an entry of env with a secret may hold.
const (
	headerPattern    = `^[A-Za-z0-9_-]+$`
	parameterPattern = `^[A-Za-z0-9_.-]+$`
)

// secretFields are the keys of an entry of env whose secret the gateway holds.
func secretFields() []named {
	source := sourceField
	flag := func(doc string) *field { return &field{kinds: []kind{boolean}, doc: doc} }
	return []named{
		{name: "secret", field: source(`Where the secret comes from: ${NAME}, "?message", a command or the keychain. The bottle gets a placeholder, which the gateway replaces.`)},
		{name: "hosts", field: &field{
			kinds: []kind{list}, least: 1, doc: "Where the secret may be used: a name, or *.name for every name below it; port 443 unless one is named.",
			item: &field{
				kinds: []kind{text}, check: (*checker).secretHost,
				pattern: pattern{expression: hostPattern, words: `a name, or "*." and a name, with a port or without`},
			},
		}},
		{name: "paths", field: &field{
			kinds: []kind{list}, least: 1, doc: "The paths where it may be used: * is any text within a segment, ** any number of segments.",
			item: &field{
				kinds: []kind{text}, check: (*checker).secretPath,
				pattern: pattern{expression: linePattern, words: "one line of text"},
			},
		}},
		{name: "header", field: &field{
			kinds: []kind{text}, pattern: pattern{expression: headerPattern, words: "a header's name"},
			doc: "The one header that may hold it. Without it any whose name says that it is for a credential.",
		}},
		{name: "query", field: &field{
			kinds: []kind{text}, pattern: pattern{expression: parameterPattern, words: "a parameter's name"},
			doc: "The parameter of the query that holds it, where an API takes it nowhere else.",
		}},
		{name: "sigv4", field: &field{
			kinds: []kind{object}, required: []string{"key_id"},
			doc: "The secret is an AWS secret access key, which signs and is never sent.",
			fields: []named{
				{name: "key_id", field: source("Where its access key ID comes from.")},
				{name: "session_token", field: source("Where the session token that belongs to it comes from.")},
			},
		}},
		{name: "own_credentials", field: flag("Requests to these hosts may bring other credentials as well.")},
		{name: "anonymous", field: flag("Requests to these hosts may go without the secret.")},
	}
}

// sourceField says where a secret comes from.
func sourceField(doc string) *field {
	return &field{
		kinds: []kind{text, object}, doc: doc, check: (*checker).source,
		pattern: pattern{expression: environ.SourcePattern, words: `${NAME} or "?message"`},
		either:  []string{"command", "keychain"},
		fields: []named{
			{name: "command", field: &field{
				kinds: []kind{list}, least: 1, check: (*checker).secretCommand,
				item: &field{kinds: []kind{text}, pattern: pattern{expression: `^[^\x00]*$`, words: "text without a NUL"}},
				doc:  "A program of this machine that prints the secret, with its arguments: no shell reads them. Only in your own manifest.",
			}},
			{name: "keychain", field: &field{
				kinds:   []kind{text},
				pattern: pattern{expression: environ.KeptPattern, words: "the name of an entry: letters, digits and . _ - / @ :, at most 128"},
				doc:     "An entry of the keychain, with service claude-bottle and this username. Only in your own manifest.",
			}},
		},
	}
}

// source refuses a project that would run something, or read the keychain: it
// may be somebody else's, and trust in it is no trust in that.
func (c *checker) source(v visit) error {
	if v.kind == object && v.file.Origin == Project {
		return errors.New("only home's manifest takes secrets from a command or from the keychain")
	}
	return nil
}

func (c *checker) secretCommand(v visit) error {
	if len(v.items) == 0 {
		return nil // the table's to report
	}
	_, err := environ.ParseCommand("X", v.words())
	return err
}

// sourceOf reads where a secret comes from.
func sourceOf(name string, n *node) (environ.Entry, error) {
	switch {
	case n.kind != object:
		return environ.ParseSource(name, n.word())
	case n.child("command") != nil:
		return environ.ParseCommand(name, n.child("command").words())
	}
	return environ.ParseKeychain(name, n.child("keychain").word())
}

// hasSource says whether n has the form that sourceOf reads.
func hasSource(n *node) bool {
	switch {
	case n == nil:
		return false
	case n.kind == text:
		return n.text != ""
	}
	command, keychain := n.child("command"), n.child("keychain")
	return n.kind == object && (command == nil) != (keychain == nil) && (len(command.words()) > 0 || keychain.word() != "")
}

// secretNeeds says which keys of an entry go with which.
func secretNeeds() map[string]string {
	needs := map[string]string{"secret": "hosts"}
	for _, known := range secretFields() {
		if known.name != "secret" {
			needs[known.name] = "secret"
		}
	}
	return needs
}

// wellFormed says whether an entry with a secret is right as far as each of
// its values goes.
func (c *checker) wellFormed(n *node) bool {
	if !isSecret(n) {
		return false
	}
	for _, list := range []struct {
		key   string
		check func(visit) error
	}{{"hosts", c.secretHost}, {"paths", c.secretPath}} {
		for _, text := range n.child(list.key).words() {
			if list.check(visit{node: &node{kind: "string", text: text}}) != nil {
				return false
			}
		}
	}
	return true
}

func (c *checker) secretHost(v visit) error {
	if host, found := hostOf(v.text); found {
		return fmt.Errorf("%s is a URL; write the host alone: %q", quote(v.text), host)
	}
	return plainly(broker.Check(broker.Entry{Hosts: []string{v.text}}))
}

func (c *checker) secretPath(v visit) error {
	return plainly(broker.Check(broker.Entry{Hosts: []string{"a.example"}, Paths: []string{v.text}}))
}

// plainly is an error without the words that say which item it is about: the
// position does.
func plainly(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// parseSecret reads an entry that holds a secret and is of the right shape.
func parseSecret(e entry) (environ.Entry, error) {
	n := e.value
	out, err := sourceOf(e.key.text, n.child("secret"))
	if err != nil {
		return out, err
	}
	out.Use = &policy.Secret{
		Name: e.key.text, Hosts: hosts(n.child("hosts")), Paths: distinct(n.child("paths").words()),
		Header: n.child("header").word(), Query: n.child("query").word(),
		OwnCredentials: n.child("own_credentials").yes(), Anonymous: n.child("anonymous").yes(),
	}
	if sign := n.child("sigv4"); sign != nil {
		out.Use.SigV4 = true
		if out.With, err = signers(out.Name, sign); err != nil {
			return out, err
		}
	}
	return out, broker.Check(*out.Use)
}

// signers are what belongs to an AWS secret access key.
func signers(name string, sign *node) ([]environ.Entry, error) {
	names, err := environ.SignerNames(name)
	if err != nil {
		return nil, err
	}
	var with []environ.Entry
	for i, key := range []string{"key_id", "session_token"} {
		source := sign.child(key)
		if source == nil {
			continue
		}
		entry, err := sourceOf(names[i], source)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		with = append(with, entry)
	}
	return with, nil
}

// isSecret says whether an entry of env holds a secret and has the form that
// parseSecret reads. What has not is the table's to report.
func isSecret(n *node) bool {
	if n.kind != object || !hasSource(n.child("secret")) || n.child("value") != nil || len(n.child("hosts").words()) == 0 {
		return false
	}
	sign := n.child("sigv4")
	return sign == nil || sign.kind == object && hasSource(sign.child("key_id"))
}

// envNames refuses a variable that another entry sets already.
func (c *checker) envNames(v visit) error {
	for _, e := range v.entries {
		if !isSecret(e.value) {
			continue
		}
		secret, err := parseSecret(e)
		if err != nil {
			continue // reported with the entry
		}
		for _, with := range secret.With {
			if v.child(with.Name) != nil {
				return fmt.Errorf("%s is set twice: %s sets it too, for the ID or token that belongs to it", with.Name, secret.Name)
			}
		}
	}
	return nil
}

// brokered are the secrets that home has the gateway hold, with their paths.
func brokered(root *node) map[string]environ.Entry {
	found := map[string]environ.Entry{}
	for _, bottle := range root.get("bottles").objects() {
		for _, e := range bottle.value.get("env").objects() {
			if entry, _, err := parseEntry(e); err == nil && entry.Brokered() {
				found[join("bottles", bottle.key.text)+".env."+entry.Name] = entry
			}
		}
	}
	return found
}

// guardBrokered reports where the project's manifest takes a source that home
// has the gateway hold, and would use it in another way: readable inside, or
// elsewhere. The agent's own credential is held without being named.
func (l *loader) guardBrokered(home, project *node) {
	held := brokered(home)
	for _, bottle := range project.get("bottles").objects() {
		env := bottle.value.get("env")
		if env == nil {
			continue
		}
		for _, e := range env.entries {
			theirs, _, err := parseEntry(e)
			if err != nil || theirs.Kind == environ.Literal {
				continue
			}
			path := join("bottles", bottle.key.text) + ".env." + theirs.Name
			for at, ours := range held {
				if sharesSource(ours, theirs) && !sameUse(ours, theirs) {
					l.problem(e.value, fmt.Sprintf("%s: its source is that of a secret of home's manifest (%s), which no project may use in another way", path, at))
				}
			}
			if name := agentsOwn(theirs); name != "" && !homes(home, held, bottle.key.text, theirs) {
				l.problem(e.value, fmt.Sprintf("%s: its source is the agent's own credential (%s), which only home's manifest says the use of", path, name))
			}
		}
	}
}

// agentsOwn is the variable of the launcher that an entry takes and that holds
// the credential of an agent; empty for none.
func agentsOwn(e environ.Entry) string {
	for _, part := range append([]environ.Entry{e}, e.With...) {
		if part.Kind == environ.Host && slices.Contains(harness.Credentials(), part.Source) {
			return part.Source
		}
	}
	return ""
}

// homes says whether home's manifest has an entry of a project's too: by the
// same name in the same bottle, or brokered in the same way.
func homes(home *node, held map[string]environ.Entry, bottle string, theirs environ.Entry) bool {
	if env := home.get("bottles", bottle, "env"); env != nil {
		for _, e := range env.entries {
			if ours, _, err := parseEntry(e); err == nil && reflect.DeepEqual(ours, theirs) {
				return true
			}
		}
	}
	for _, ours := range held {
		if sameUse(ours, theirs) {
			return true
		}
	}
	return false
}

func sharesSource(ours, theirs environ.Entry) bool {
	for _, a := range append([]environ.Entry{ours}, ours.With...) {
		for _, b := range append([]environ.Entry{theirs}, theirs.With...) {
			if a.Kind == b.Kind && a.Kind != environ.Ask && a.Source == b.Source && slices.Equal(a.Argv, b.Argv) {
				return true
			}
		}
	}
	return false
}

// sameUse says whether two entries are the same but for the variable's name.
func sameUse(ours, theirs environ.Entry) bool {
	if !theirs.Brokered() {
		return false
	}
	use := *theirs.Use
	use.Name, theirs.Name, theirs.Use = ours.Name, ours.Name, &use
	return reflect.DeepEqual(ours, theirs)
}

// guardWay reports where the project's manifest changes the way to the hosts of
// a secret of home's: whom the gateway asks, through whom, and who vouches.
func (l *loader) guardWay(bottle string, home, project *node) {
	var hosts []string
	for _, e := range home.get("env").objects() {
		if entry, _, err := parseEntry(e); err == nil && entry.Brokered() {
			hosts = append(hosts, entry.Use.Hosts...)
		}
	}
	if len(hosts) == 0 {
		return
	}
	for _, key := range []string{"ca", "proxy"} {
		theirs := project.get("egress", key)
		if theirs != nil && home.get("egress", key) == nil { // else it is guarded as such
			l.problem(theirs, fmt.Sprintf("%s.egress.%s: the bottle has a secret of home's manifest, and no project may say who sees it", join("bottles", bottle), key))
		}
	}
	resolve := project.get("egress", "resolve")
	if resolve == nil {
		return
	}
	for _, e := range resolve.entries {
		name, err := policy.Normalise(e.key.text)
		if err != nil || equal(e.value, home.get("egress", "resolve", e.key.text)) {
			continue
		}
		p, err := policy.Compile(policy.Egress{Allow: []policy.Allow{{Host: name}}})
		if err == nil && len(p.Uses(policy.Secret{Hosts: withoutPorts(hosts)})) > 0 {
			l.problem(e.value, fmt.Sprintf("%s.egress.resolve: %s is for a secret of home's manifest, and no project may say where it is", join("bottles", bottle), quote(name)))
		}
	}
}

// withoutPorts are hosts of secrets at the port that an allowlist means.
func withoutPorts(hosts []string) []string {
	hosts = slices.Clone(hosts)
	for i, host := range hosts {
		if at := strings.LastIndexByte(host, ':'); at >= 0 && !strings.Contains(host[:at], ":") {
			hosts[i] = host[:at]
		}
	}
	return hosts
}

// mixed reports an entry that is a literal in one manifest and a secret in the
// other, which only the merged whole shows.
func (l *loader) mixed(bottle string, e entry) {
	value, secret := e.value.child("value"), e.value.child("secret")
	if value != nil && secret != nil && value.file != secret.file {
		l.problem(e.key, fmt.Sprintf("%s.env.%s: a literal in one manifest (%s) and a secret in the other", bottle, e.key.text, value.position()))
	}
}
