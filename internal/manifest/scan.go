package manifest

import (
	"strings"

	"claude-bottle/internal/policy"
)

// Scan says what becomes of secrets in what leaves in clear.
type Scan struct {
	// Mode is one of the policy's; empty when the file says nothing.
	Mode string
	// Allow are SHA-256 hashes, in lower case hexadecimal.
	Allow []string
	// Canary puts decoys into the bottle.
	Canary bool
}

const hashPattern = `^[0-9A-Fa-f]{64}$`

func scanField() *field {
	return &field{
		kinds: []kind{object}, doc: "What becomes of secrets that are seen in what leaves. With a mode, TLS is opened wherever egress.inspect does not say otherwise.",
		fields: []named{
			{name: "mode", field: scanModeField("What becomes of them; without it the run's own are blocked, and credentials of others recorded.")},
			{name: "allow", field: &field{
				kinds: []kind{list}, doc: "Credentials that are none, by the SHA-256 of their text.",
				item: &field{kinds: []kind{text}, pattern: pattern{expression: hashPattern, words: "a SHA-256 hash in 64 hexadecimal digits"}},
			}},
			{name: "canary", field: &field{kinds: []kind{boolean}, doc: "Put decoy credentials inside. One that is sent ends what the bottle may send."}},
		},
	}
}

func scanModeField(doc string) *field {
	return &field{kinds: []kind{text}, choices: []string{policy.ScanBlock, policy.ScanRedact, policy.ScanWarn}, doc: doc}
}

// scanMode is the word of a mode, or "" where it is none of them.
func scanMode(n *node) string {
	switch word := n.word(); word {
	case policy.ScanBlock, policy.ScanRedact, policy.ScanWarn:
		return word
	default:
		return ""
	}
}

func scanOf(n *node) Scan {
	scan := Scan{Mode: scanMode(n.get("mode")), Canary: n.get("canary").yes()}
	for _, hash := range distinct(n.get("allow").words()) {
		scan.Allow = append(scan.Allow, strings.ToLower(hash))
	}
	return scan
}
