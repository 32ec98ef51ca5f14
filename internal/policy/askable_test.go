package policy

import (
	"strings"
	"testing"
)

func TestAskable(t *testing.T) {
	for host, want := range map[string]bool{
		"registry-mirror.example.com":            true,
		"internationalization-service.example":   true, // long, but a word
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.example": true,
		"gj4k2lx9q0zr7vt1mw8c.example":           false,
		"0123456789abcdef0123.example":           false,
		"d111111abcdef8.cloudfront.example":      true,
		"x.0123456789abcdefghij.evil.example":    false,
		"single":                                 false,
		"printer.local":                          false,
	} {
		if got := Askable(host); got != want {
			t.Errorf("%s: %v (%.2f bits)", host, got, entropy(strings.Split(host, ".")[0]))
		}
	}
}
