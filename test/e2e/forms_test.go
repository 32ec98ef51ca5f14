package e2e_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// form is what is searched for of a secret, in one way to write it.
type form struct{ text, what string }

// forms are those of all secrets: of each so much that no placeholder has it, as
// it is, and as it would be in what was encoded around it.
func forms(secrets []string) (all []form) {
	for i, part := range parts(secrets) {
		written := writtenForms(part)
		for _, what := range slices.Sorted(maps.Keys(written)) { // always in the same order
			all = append(all, form{written[what], fmt.Sprintf("secret %d %s", i, what)})
		}
	}
	return all
}

func writtenForms(part string) map[string]string {
	dump := hex.EncodeToString([]byte(part))
	back := []byte(part)
	slices.Reverse(back)
	all := map[string]string{
		"as it is": part, "backwards": string(back), "in hex": dump, "in HEX": strings.ToUpper(dump),
		"in a URL": "%" + strings.Join(cut(dump, 2), "%"), "in a URL, large": "%" + strings.Join(cut(strings.ToUpper(dump), 2), "%"),
		"in JSON": `\u00` + strings.Join(cut(dump, 2), `\u00`), "in UTF-16": strings.Join(strings.Split(part, ""), "\x00"),
	}
	for offset := range 3 {
		padded := []byte(strings.Repeat("x", offset) + part)
		for alphabet, encoding := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 of URLs": base64.RawURLEncoding} {
			// Without the characters in which something else has a part.
			text := encoding.EncodeToString(padded[:len(padded)-len(padded)%3])[(offset*8+5)/6:]
			all[fmt.Sprintf("in %s at %d", alphabet, offset)] = text
		}
	}
	if all["in base64 of URLs at 0"] == all["in base64 at 0"] && all["in base64 of URLs at 1"] == all["in base64 at 1"] &&
		all["in base64 of URLs at 2"] == all["in base64 at 2"] {
		for offset := range 3 {
			delete(all, fmt.Sprintf("in base64 of URLs at %d", offset))
		}
	}
	return all
}

func cut(text string, size int) (pieces []string) {
	for piece := range slices.Chunk([]byte(text), size) {
		pieces = append(pieces, string(piece))
	}
	return pieces
}

// texts are those of forms.
func texts(all []form) (list []string) {
	for _, f := range all {
		list = append(list, f.text)
	}
	return list
}

// A search for forms finds a secret wherever it stands in what is encoded, and
// none is so short that a search would find it by chance.
func TestFormsAreFound(t *testing.T) {
	const secret = "sk-ant-oat01-aB3?dEf6hI>9kLm2nOp5~Rs8tUv1wXy4"
	for range 50 {
		before, behind := make([]byte, rand.IntN(9)), strings.Repeat("y", rand.IntN(9))
		whole := string(before) + secret + behind
		written := map[string]string{
			"base64": base64.StdEncoding.EncodeToString([]byte(whole)), "base64 of URLs": base64.URLEncoding.EncodeToString([]byte(whole)),
			"hex": hex.EncodeToString([]byte(whole)), "itself": whole,
		}
		for what, text := range written {
			if !slices.ContainsFunc(forms([]string{secret}), func(f form) bool { return strings.Contains(text, f.text) }) {
				t.Errorf("%s: nothing is found in %q", what, text)
			}
		}
	}
	for _, f := range forms([]string{secret}) {
		if len(f.text) < 16 {
			t.Errorf("%s: %d bytes", f.what, len(f.text))
		}
	}
}
