package bottle

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/preset"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/workspace"
)

// Input is everything that a Spec is resolved from.
type Input struct {
	Manifest *manifest.Manifest
	Agent    string
	Flags    Flags
	// Lookup reads the launcher's environment. A value that it returns for a
	// secret is looked at for presence only.
	Lookup func(string) (string, bool)
	// Look says that the agent is looked at and not launched: variables need
	// not be set.
	Look bool
	Host Host
	// Presets are the hosts of those that the agent's bottle names.
	Presets preset.Table
	// Unread says why the image that the bottle comes from was not asked for them;
	// empty where it was, or there is none.
	Unread string
	// Login is the name of the credential that `login` has kept; empty for
	// none. It comes behind the launcher's environment.
	Login string
	// Ask says that there is a person who can be asked for a credential.
	Ask bool
}

// Flags are those of `start` that change what is launched.
type Flags struct {
	Cwd           string // copied into the workspace; absolute; empty for none
	Dir           string // the working directory, whose manifest was read
	Once          string // --prompt: run this without a terminal
	RemoteControl bool
	Args          []string // for the harness, after "--"
}

// Resolve turns a manifest's agent into what is to be launched. It decides
// and changes nothing; of the host it looks only at the agent's skills and at
// the directory that would be copied. No secret is in the result.
func Resolve(in Input) (Spec, error) {
	agent, from, err := in.Manifest.Agent(in.Agent)
	if err != nil {
		return Spec{}, err
	}
	row, err := harnessOf(agent, in.Flags)
	if err != nil {
		return Spec{}, err
	}
	paths, err := insidePaths(in.Lookup)
	if err != nil {
		return Spec{}, err
	}
	if in.Flags.Cwd != "" {
		if err := workspace.Check(in.Flags.Cwd, in.Host.Home, in.Host.StateRoot); err != nil {
			return Spec{}, err
		}
	}
	trees, err := skillTrees(in.Host.Home, paths, agent.Skills)
	if err != nil {
		return Spec{}, err
	}
	egress, err := egressOf(from, row, in.Presets)
	if err != nil {
		return Spec{}, err
	}

	token := credentialOf(row, from.Env, in)
	if err := refuseRemote(row, token, in, from.Env); err != nil {
		return Spec{}, err
	}
	if gatewayOf(from) == Pipelock { // which holds no secrets
		token = token.readable()
	}
	env := slices.Concat(from.Env, token.entries)
	if egress, err = withSecrets(egress, env); err != nil {
		return Spec{}, fmt.Errorf("bottle %s: %w", from.Name, err)
	}
	if !in.Look {
		if err := environ.Check(env, in.Lookup); err != nil {
			return Spec{}, err
		}
	}
	files, env := readyFiles(row, in.Host, paths, agent.Prompt, token.name, env)
	spec := Spec{
		Agent: agent.Name, Slug: Slug(agent.Name), Bottle: agent.Bottle, Harness: row.Name,
		Argv: row.Argv(harness.Start{
			Home: paths.home, HasPrompt: agent.Prompt != "", Once: in.Flags.Once,
			RemoteControl: in.Flags.RemoteControl, Args: in.Flags.Args,
		}),
		Env:          append(env, rootsSetup(egress.Roots, egress.Inspects(), env)...),
		PromptLength: utf8.RuneCountInString(agent.Prompt), PromptLine: firstLine(agent.Prompt),
		Skills: agent.Skills, Egress: egress,
		Limits: Limits(from.Limits), Isolation: Isolation(from.Isolation), Gateway: gatewayOf(from),
		Mounts: from.Mounts, Toolchains: from.Toolchains == manifest.ToolchainsAuto, Nested: from.Nested,
		Canary: from.Scan.Canary,
		Cwd:    in.Flags.Cwd, Dir: in.Flags.Dir, Home: paths.home, Workspace: Workspace,
		UID: in.Host.UID, GID: in.Host.GID,
		Files: files, Trees: trees,
		Once: in.Flags.Once != "", RemoteControl: in.Flags.RemoteControl,
		Manifest: in.Manifest.Hash(),
	}
	spec.Warnings = warningsOf(in.Manifest, spec, row, token, presetWarnings(from.Egress.Presets, in.Presets, in.Unread))
	return spec, nil
}

func gatewayOf(from manifest.Bottle) Gateway {
	if from.Gateway == manifest.GatewayPipelock {
		return Pipelock
	}
	return ""
}

// harnessOf finds the agent's harness and refuses what it does not understand.
func harnessOf(agent manifest.Agent, flags Flags) (harness.Harness, error) {
	row, known := harness.Named(agent.Harness)
	if agent.Harness == manifest.HarnessCommand {
		row, known = harness.Command(agent.Command), true
	}
	if !known {
		err := fmt.Errorf("agent %s: no harness %q", agent.Name, agent.Harness)
		return row, hint.With(err, "harnesses are: "+strings.Join(harness.Names(), ", ")+", or {command: [PROGRAM, …]}")
	}
	if flags.Once != "" && !row.Once {
		return row, hint.With(fmt.Errorf("--prompt: the harness %s takes none", row.Name),
			"give the program's own arguments after --")
	}
	if flags.RemoteControl && !row.RemoteControl {
		return row, hint.With(fmt.Errorf("--remote-control: the harness %s has none", row.Name), "leave the flag out")
	}
	return row, nil
}

// egressOf is the union of what the bottle and its harness may reach, each
// name once, the bottle's first.
func egressOf(from manifest.Bottle, row harness.Harness, presets preset.Table) (policy.Egress, error) {
	egress := policy.Egress{
		Allow:   []policy.Allow{},
		Private: from.Egress.Private, Resolve: from.Egress.Resolve,
		Roots: from.Egress.Roots, ProjectRoots: from.Egress.ProjectRoots, Proxy: from.Egress.Proxy, NoProxy: from.Egress.NoProxy,
		Inspect: from.Egress.Inspect, Unlisted: from.Egress.Unlisted, Budget: from.Egress.Budget,
	}
	egress = withScan(egress, from)
	for _, rule := range from.Egress.Rules {
		rule.Source = "bottle " + from.Name
		egress.Rules = append(egress.Rules, rule)
	}
	rules, err := presetRules(from, presets)
	if err != nil {
		return policy.Egress{}, err
	}
	egress.Rules = append(egress.Rules, rules...)
	at := map[string]int{} // in egress.Allow
	add := func(hosts []string, source string, harness bool) {
		for _, host := range hosts {
			name := strings.ToLower(host)
			if i, known := at[name]; known {
				egress.Allow[i].Harness = egress.Allow[i].Harness || harness
				continue
			}
			at[name] = len(egress.Allow)
			egress.Allow = append(egress.Allow, policy.Allow{Host: host, Source: source, Harness: harness})
		}
	}
	add(from.Egress.Allowlist, "bottle "+from.Name, false)
	add(row.Egress, "harness "+row.Name, true)
	if _, err := policy.Compile(egress); err != nil {
		return policy.Egress{}, fmt.Errorf("bottle %s: egress: %w", from.Name, err)
	}
	return egress, nil
}

// credential is how a harness gets its token.
type credential struct {
	name    string // of the variable inside, when a Token of the harness carries it
	entries []environ.Entry
	missing bool
}

// credentialOf takes what the manifest sets itself, under either name, else the
// first variable of the launcher that is set and not empty, else what `login`
// has kept, else what a person says.
func credentialOf(row harness.Harness, env []environ.Entry, in Input) credential {
	for _, token := range row.Tokens {
		if hasEntry(env, token.Name) {
			return credential{name: token.Name}
		}
		if hasEntry(env, token.From) {
			return credential{}
		}
	}
	for _, token := range row.Tokens {
		if value, ok := in.Lookup(token.From); ok && value != "" {
			return forwarded(token, environ.Host, in.Flags.RemoteControl)
		}
	}
	for _, token := range row.Tokens {
		if in.Login == token.From {
			return forwarded(token, environ.Login, in.Flags.RemoteControl)
		}
	}
	if in.Ask && len(row.Tokens) > 0 && !goesElsewhere(row, env) {
		asked := forwarded(row.Tokens[0], environ.Ask, in.Flags.RemoteControl)
		asked.entries[0].Source = "token of the harness " + row.Name + "; `claude-bottle login` keeps one"
		return asked
	}
	return credential{missing: len(row.Tokens) > 0}
}

// goesElsewhere says whether the manifest has the harness use another server,
// or another way to say who it is.
func goesElsewhere(row harness.Harness, env []environ.Entry) bool {
	return slices.ContainsFunc(env, func(e environ.Entry) bool {
		return slices.ContainsFunc(row.Others, func(prefix string) bool { return strings.HasPrefix(e.Name, prefix) })
	})
}

// forwarded is the credential that comes to the bottle as a token.
func forwarded(token harness.Token, kind environ.Kind, remote bool) credential {
	use := token.Use
	use.Name = token.Name
	if remote {
		use.Paths = slices.Concat(use.Paths, token.Remote)
	}
	entry := environ.Entry{Name: token.Name, Kind: kind, Source: token.From, Use: &use, Renew: token.Renew}
	return credential{name: token.Name, entries: []environ.Entry{entry}}
}

// refuseRemote refuses to have a harness steered from elsewhere by a credential
// that does not allow it: the harness would say so, or nothing, once it runs.
func refuseRemote(row harness.Harness, token credential, in Input, env []environ.Entry) error {
	if !in.Flags.RemoteControl {
		return nil
	}
	for _, known := range row.Tokens {
		if known.Name != token.name {
			continue
		}
		if known.Scopes == "" {
			return hint.With(fmt.Errorf("--remote-control: %s, an API key, cannot do it", known.From), "leave the flag out")
		}
		if !slices.Contains(strings.Fields(valueOf(env, known.Scopes, in.Lookup)), known.Scope) {
			return hint.With(fmt.Errorf("--remote-control: the token in %s cannot do it, as far as is known: one of setup-token is for the model alone", known.From),
				fmt.Sprintf("leave the flag out, or say in the bottle's env what a token of a full login may do: %s: \"user:profile user:inference %s\"", known.Scopes, known.Scope))
		}
	}
	return nil
}

// valueOf is what a variable that is no secret will be inside.
func valueOf(env []environ.Entry, name string, lookup func(string) (string, bool)) string {
	for _, entry := range env {
		switch {
		case entry.Name != name:
		case entry.Kind == environ.Literal:
			return entry.Value
		case entry.Kind == environ.Host:
			value, _ := lookup(entry.Source)
			return value
		}
	}
	return ""
}

// readable is the credential in the bottle itself, with the plan's warning.
func (c credential) readable() credential {
	c.entries = slices.Clone(c.entries)
	for i := range c.entries {
		c.entries[i].Use = nil
	}
	return c
}

// readyFiles are the files that make the harness ready, with the prompt's
// among them, and env with the harness's own entries behind it. What the
// manifest sets wins.
func readyFiles(
	row harness.Harness, host Host, paths inside, prompt, token string, env []environ.Entry,
) ([]provision.File, []environ.Entry) {
	files, added := row.Ready(harness.Setup{
		Home: paths.home, Workspace: Workspace,
		GitName: host.GitName, GitMail: host.GitMail,
		Prompt: prompt, Token: token,
	})
	isPrompt := func(f provision.File) bool { return f.Root == provision.Home && f.Path == promptFile }
	if prompt != "" && !slices.ContainsFunc(files, isPrompt) {
		files = append(files, provision.File{
			Root: provision.Home, Path: promptFile, Mode: 0o600, Data: []byte(prompt),
		})
	}
	for _, entry := range added {
		if !hasEntry(env, entry.Name) {
			env = append(env, entry)
		}
	}
	return files, env
}

// skillTrees finds every skill and reports all that are missing at once.
func skillTrees(home string, paths inside, skills []string) ([]provision.Tree, error) {
	var trees []provision.Tree
	var errs []error
	for _, name := range skills {
		source, err := skillSource(home, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		trees = append(trees, provision.Tree{
			Root: provision.Home, Path: path.Join(paths.skills, name), Source: source,
		})
	}
	return trees, errors.Join(errs...)
}

func warningsOf(m *manifest.Manifest, spec Spec, row harness.Harness, token credential, presets []string) []string {
	var warnings []string
	for _, problem := range m.Warnings {
		warnings = append(warnings, problem.String())
	}
	warnings = append(warnings, specWarnings(spec.Env, spec.Egress)...)
	warnings = append(warnings, scanWarnings(spec.Egress, spec.Canary)...)
	warnings = append(warnings, presets...)
	if spec.Cwd != "" && gitConfigHoldsCredential(spec.Cwd) {
		warnings = append(warnings, "workspace: .git/config holds a credential, which is readable inside: take it out of the remote's URL or header")
	}
	warnings = append(warnings, elsewhere(row, spec.Env, token)...)
	if token.missing {
		var names []string
		for _, t := range row.Tokens {
			names = append(names, t.From)
		}
		warnings = append(warnings, fmt.Sprintf("harness %s: no credential: run `claude-bottle login`, or set %s before the launch",
			row.Name, strings.Join(names, " or ")))
	}
	return warnings
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r")
}
