package digest

import (
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	for text, valid := range map[string]bool{
		"sha256:" + strings.Repeat("a0", 32):      true,
		"sha384:" + strings.Repeat("0", 96):       true,
		"sha512:" + strings.Repeat("f", 128):      true,
		"sha256:" + strings.Repeat("A0", 32):      false,
		"sha256:" + strings.Repeat("a", 63):       false,
		"md5:" + strings.Repeat("a", 32):          false,
		"sha256":                                  false,
		"":                                        false,
		"sha256:" + strings.Repeat("g", 64):       false,
		" sha256:" + strings.Repeat("a", 64):      false,
		"sha256:\n" + strings.Repeat("a", 63):     false,
		"sha256:" + strings.Repeat("a", 64) + " ": false,
	} {
		if err := Digest(text).Validate(); (err == nil) != valid {
			t.Errorf("%q: %v", text, err)
		}
	}
}
