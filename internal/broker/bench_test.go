package broker

import (
	"strings"
	"testing"
)

// BenchmarkNew is what each launch pays, with a secret of the length of the
// agent's own.
func BenchmarkNew(b *testing.B) {
	s := github()
	s.Value = "sk-ant-oat01-" + strings.Repeat("aB3dE6gH9j", 9) + "-AAAA"
	placeholder, err := Placeholder(s.Value)
	if err != nil {
		b.Fatal(err)
	}
	s.Placeholder = placeholder
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New([]Secret{s}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPlaceholder is what the launcher pays beside it.
func BenchmarkPlaceholder(b *testing.B) {
	for b.Loop() {
		if _, err := Placeholder("sk-ant-oat01-" + strings.Repeat("aB3dE6gH9j", 9) + "-AAAA"); err != nil {
			b.Fatal(err)
		}
	}
}
