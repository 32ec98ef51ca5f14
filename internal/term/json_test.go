package term

import (
	"bytes"
	"encoding/json"
	"strconv"
	"testing"
)

// TestJSONIsPrintable: the value stays what it was, and no rune of it acts on a
// terminal.
func TestJSONIsPrintable(t *testing.T) {
	for _, text := range []string{
		"plain", "\x1b]0;title\x07", "\u009b2J", "\u202egnp.exe", "\u2066\u2069\u200b\u2028", "\x7f", "\U000e0001tag", "żółć 日本 😀 <&>",
	} {
		var out bytes.Buffer
		if err := JSON(&out, map[string]string{text: text}, "  "); err != nil {
			t.Fatal(err)
		}
		for _, r := range out.String() {
			if r != '\n' && !strconv.IsPrint(r) {
				t.Errorf("%q: %U in %q", text, r, out.String())
			}
		}
		var back map[string]string
		if err := json.Unmarshal(out.Bytes(), &back); err != nil || back[text] != text {
			t.Errorf("%q came back as %q, %v", text, back, err)
		}
	}
}
