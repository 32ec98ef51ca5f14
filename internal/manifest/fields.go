package manifest

import (
	"sync"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

// field is one row of the table that says what a manifest may hold. The loader
// walks nodes by it and Schema prints it; neither knows a key by name.
type field struct {
	kinds []kind // one, or several where a value has more than one form
	doc   string
	// Of an object: its keys, and those that must be there.
	fields   []named
	required []string
	// either are keys of which exactly one must be there, and needs are those
	// that another one must stand beside.
	either []string
	needs  map[string]string
	// free is how keys begin that are anyone's, with any value.
	free string
	// Of an object whose keys are names: what they may be, and the values.
	each     *field
	keys     pattern
	checkKey func(string) error // says more than keys does
	// Of a list: its items.
	item *field
	// Of a string.
	pattern pattern
	choices []string
	later   []string // choices of a coming version
	// Of a number.
	whole            bool
	minimum, maximum float64
	// least is how many items a list has at least. empty allows a list
	// without items and nothing more.
	least int
	empty bool
	// check says what no schema can. It runs on values of the right kind, and
	// before anything below them was looked at.
	check func(*checker, visit) error
}

// named is a key of an object. One that only has a refusal is known by name,
// so that the message can say more than "unknown".
type named struct {
	name string
	*field
	refusal string
}

// pattern is a regular expression that Go and ECMA 262 read alike, and what it
// means in words. Not, where it is set, must not match.
type pattern struct {
	expression string
	not        string
	words      string
}

const (
	// Names of agents become parts of container names, in which letters of
	// other scripts, separators and control bytes have no place. Every name
	// that matches keeps a letter or digit at either end.
	namePattern = `^[A-Za-z0-9]([A-Za-z0-9 ._-]{0,62}[A-Za-z0-9])?$`
	// A skill is a directory's name below the person's skills: no separator,
	// no "..", nothing hidden.
	skillPattern = `^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$`
	sizePattern  = `^[0-9]{1,12}(\.[0-9]{1,3})?(B|[kKMGT]B|[KMGT]iB)$`
	// Patterns of hosts and addresses catch what is plainly another thing;
	// the rest is checked by what will use it.
	hostPattern    = `^(\*\.)?[^\s/@*]+$`
	rangePattern   = `^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$`
	addressPattern = `^[0-9A-Fa-f:.]+$`
	proxyPattern   = `^http://[^\s/?#]+:[0-9]{1,5}/?$`
	// One line, not empty.
	linePattern = `^[^\n\r\x00]+$`
)

// later marks keys that a coming version brings.
const later = "this version of claude-bottle does not support it yet"

func laterKeys(names ...string) []named {
	var keys []named
	for _, name := range names {
		keys = append(keys, named{name: name, refusal: later})
	}
	return keys
}

// table is the whole manifest. It is made when it is first needed, since most
// commands of the binary read none.
var table = sync.OnceValue(func() *field {
	name := pattern{expression: namePattern, words: "a name of letters, digits, spaces, dots, _ and -, at most 64, with a letter or digit at both ends"}
	return &field{
		kinds: []kind{object},
		doc:   "A manifest of claude-bottle: bottles, and the agents that work in them.",
		free:  "x-",
		fields: []named{
			{name: "$schema", field: &field{kinds: []kind{text}, doc: "Where an editor finds this schema. claude-bottle does not read it."}},
			{name: "bottles", field: &field{
				kinds: []kind{object}, keys: name, each: bottleField(),
				doc: "Sandboxes, by name.",
			}},
			{name: "agents", field: &field{
				kinds: []kind{object}, keys: name, each: agentField(),
				doc: "Who works in a bottle, by name.",
			}},
		},
	}
})

func bottleField() *field {
	limits := &field{kinds: []kind{object}, doc: "What a bottle may use. What is not named is the platform's default.", fields: []named{
		{name: "memory", field: sizeField("Memory, as 4GiB. At least 6MiB.", (*checker).memory)},
		{name: "cpus", field: &field{kinds: []kind{number}, minimum: 0.01, maximum: 1024, doc: "Processors, also parts of one: 1.5."}},
		{name: "pids", field: &field{kinds: []kind{number}, whole: true, minimum: 1, maximum: 1 << 22, doc: "Processes and threads at a time."}},
		{name: "disk", field: sizeField("Disk for the workspace, git directory, home and all else that is written, as 20GiB.", (*checker).size)},
	}}
	fields := []named{
		{name: "env", field: envField()},
		{name: "egress", field: egressField()},
		{name: "limits", field: limits},
		{name: "isolation", field: &field{
			kinds: []kind{text}, choices: []string{"auto", "runsc", "runc"},
			doc: "The boundary to the host's kernel: runsc (gVisor), runc, or auto: runsc where the engine has it.",
		}},
		{name: "gateway", field: &field{
			kinds: []kind{text}, choices: []string{GatewayBuiltin, GatewayPipelock},
			doc: "The program between the bottle and the world: builtin, or pipelock from an image of yours (docker alone).",
		}},
		{name: "mounts", field: &field{
			kinds: []kind{list}, doc: "Files and directories of this machine that are seen inside under the same path, read-only. Only in your own manifest.",
			item: &field{kinds: []kind{text}, check: (*checker).mount, pattern: pattern{expression: linePattern, words: "a path"}},
		}},
		{name: "toolchains", field: &field{
			kinds: []kind{text}, choices: []string{ToolchainsAuto},
			doc: "auto: what nvm, mise, pyenv, rustup, go and Homebrew put on your PATH is seen inside, read-only.",
		}},
		{name: "nested", field: &field{
			kinds: []kind{boolean}, doc: "Whether namespaces and mounts may be made inside, for a sandbox within. Only in your own manifest.",
		}},
		{name: "scan", field: scanField()},
		{name: "ssh", field: &field{kinds: []kind{list}, empty: true, doc: "Hosts for ssh. Empty in this version."}},
		{name: "runtime", refusal: "this key was removed; isolation replaces it: auto, runsc or runc"},
	}
	fields = append(fields, laterKeys("git")...)
	return &field{kinds: []kind{object}, doc: "One sandbox.", fields: fields}
}

func envField() *field {
	value := &field{
		kinds:   []kind{text},
		pattern: pattern{expression: environ.TextPattern, words: "one line"},
		doc:     "The text as it stands, whatever it begins with.",
	}
	return &field{
		kinds:    []kind{object},
		doc:      "Environment variables. Values come from the file, from the launcher's environment or from the person.",
		keys:     pattern{expression: environ.NamePattern, not: environ.ReservedPattern, words: "a variable's name"},
		checkKey: environ.CheckName, check: (*checker).envNames,
		each: &field{
			kinds: []kind{text, object}, check: (*checker).env,
			doc:     `A literal; or ${NAME}, exactly, for the launcher's variable NAME; or "?message" to be asked at launch.`,
			pattern: value.pattern,
			either:  []string{"value", "secret"}, needs: secretNeeds(),
			fields: append([]named{{name: "value", field: value}}, secretFields()...),
		},
	}
}

// ruleField is one of egress.rules. What its values mean is checked by the one
// that will decide ([checker.rules]), so the patterns are wide.
func ruleField(size *field) *field {
	line := func(doc string) *field {
		return &field{kinds: []kind{text}, pattern: pattern{expression: linePattern, words: "one line of text"}, doc: doc}
	}
	flag := func(doc string) *field { return &field{kinds: []kind{boolean}, doc: doc} }
	return &field{kinds: []kind{object}, required: []string{"host"}, doc: "One rule.", fields: []named{
		{name: "host", field: line("A name, *.name for every name below it, or an address; no port.")},
		{name: "port", field: &field{
			kinds: []kind{number}, whole: true, minimum: 1, maximum: 65535,
			doc: "The one port that is meant; without it 80 and 443, or every port where the rule denies.",
		}},
		{name: "methods", field: &field{kinds: []kind{list}, least: 1, item: line("A method, in upper case."), doc: "The methods that are meant; GET stands for HEAD too."}},
		{name: "paths", field: &field{
			kinds: []kind{list}, least: 1, item: line("A path: * is any text within a segment, the segment ** any number of segments."),
			doc: "The paths that are meant.",
		}},
		{name: "deny", field: flag("Refuse what the rule names, whatever allows it.")},
		{name: "tcp", field: flag("Carry bytes as they are. Needs a port.")},
		{name: "inspect", field: inspectField("Whether TLS to this host is opened.")},
		{name: "budget", field: size},
		{name: "scan", field: scanModeField("What becomes of secrets that are seen in what is sent there; TLS is opened for it.")},
	}}
}

func inspectField(doc string) *field {
	return &field{kinds: []kind{text}, choices: []string{policy.InspectAuto, policy.InspectAlways, policy.InspectNever}, doc: doc}
}

func sizeField(doc string, check func(*checker, visit) error) *field {
	return &field{
		kinds: []kind{text}, doc: doc, check: check,
		pattern: pattern{expression: sizePattern, words: `a size with its unit, such as "512MB" (powers of 1000) or "4GiB" (powers of 1024)`},
	}
}

func egressField() *field {
	strings := func(item *field, doc string) *field {
		return &field{kinds: []kind{list}, item: item, doc: doc}
	}
	fields := []named{
		{name: "allowlist", field: strings(&field{
			kinds: []kind{text}, check: (*checker).allow,
			pattern: pattern{expression: hostPattern, words: `a host alone: "api.example.com", "*.example.com", an address, with a ":port" where it is not 80 or 443`},
		}, "Hosts that may be reached, beside those that the harness needs: a name, *.name for every name below it, or an address; ports 80 and 443 unless one is named.")},
		{name: "private", field: strings(&field{
			kinds: []kind{text}, check: (*checker).private,
			pattern: pattern{expression: rangePattern, words: `a range such as "10.20.0.0/16", or an address`},
		}, "Addresses that are not public and that an allowed name may resolve to all the same.")},
		{name: "resolve", field: &field{
			kinds: []kind{object}, check: (*checker).resolve,
			doc:  "Names with a fixed address.",
			keys: pattern{expression: `^[^\s/@*:]+$`, words: "a host's name"}, checkKey: checkHostName,
			each: &field{
				kinds: []kind{text}, check: (*checker).address,
				pattern: pattern{expression: addressPattern, words: "an address"},
			},
		}},
		{name: "ca", field: &field{
			kinds: []kind{text}, check: (*checker).ca,
			pattern: pattern{expression: linePattern, words: "a file's name"},
			doc:     "A file of certificates (PEM) that gateway, image build and bottle trust too, relative to this file.",
		}},
		{name: "proxy", field: &field{
			kinds: []kind{text}, check: (*checker).proxy,
			pattern: pattern{expression: proxyPattern, words: "http://[user:password@]host:port"},
			doc:     "The gateway's own way out: http://[user:password@]host:port.",
		}},
		{name: "no_proxy", field: strings(&field{
			kinds: []kind{text}, check: (*checker).noProxy,
			pattern: pattern{expression: linePattern, words: "a name, *.name, an address or a range"},
		}, "Hosts that are reached without the proxy: a name, *.name, an address or a range of them.")},
		{name: "presets", field: strings(&field{kinds: []kind{text}, choices: Presets()},
			"Package registries that may be read from, by GET and HEAD: the hosts that your own clients are configured for.")},
		{name: "rules", field: strings(ruleField(sizeField("Bytes that may be sent by this rule, as 200MB.", (*checker).size)),
			"What the allowlist cannot say: ports, methods, paths, refusals, tunnels. The order has no meaning, and a rule that denies wins.")},
		{name: "inspect", field: inspectField("Whether TLS is opened where no rule says it: auto where a rule has methods or paths, always, or never.")},
		{name: "unlisted", field: &field{
			kinds: []kind{text}, choices: []string{"deny", policy.Ask},
			doc: "What becomes of a name that no rule speaks of: it is denied, or a person who is attached is asked.",
		}},
		{name: "budget", field: sizeField("Bytes that the bottle may send in all, as 200MB.", (*checker).size)},
	}
	return &field{
		kinds: []kind{object}, doc: "What the bottle may reach.", check: (*checker).rules,
		fields: fields,
	}
}

func agentField() *field {
	line := pattern{expression: linePattern, words: "one line of text"}
	return &field{kinds: []kind{object}, doc: "One agent.", fields: []named{
		{name: "bottle", field: &field{kinds: []kind{text}, pattern: line, doc: "The bottle it works in."}},
		{name: "harness", field: &field{
			kinds: []kind{text, object}, choices: []string{HarnessClaude}, later: []string{"codex", "opencode", "gemini"},
			doc:      "The program that is the agent: claude (the default), or a command of your own.",
			required: []string{"command"},
			fields: []named{{name: "command", field: &field{
				kinds: []kind{list}, least: 1, check: (*checker).command,
				item: &field{kinds: []kind{text}, pattern: pattern{expression: `^[^\x00]*$`, words: "text without a NUL"}},
				doc:  "The program and its arguments, as they are: no shell reads them.",
			}}},
		}},
		{name: "skills", field: &field{
			kinds: []kind{list}, doc: "Skills of yours that it has, by name.",
			item: &field{kinds: []kind{text}, pattern: pattern{expression: skillPattern, words: "a skill's name: letters, digits, _, - and dots, no dot first, no separators"}},
		}},
		{name: "prompt", field: &field{
			kinds: []kind{text}, doc: "Its role, added to the harness's own instructions.",
			pattern: pattern{expression: `^[^\x00]*$`, words: "text without a NUL"},
		}},
	}}
}
