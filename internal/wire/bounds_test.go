package wire

import "testing"

// TestBounds: a guest takes each bound that it is given, and starts with no
// argument that it does not know.
func TestBounds(t *testing.T) {
	for _, b := range []Bounds{{}, {Nested: true}, {Disk: true}, {true, true}} {
		if got, ok := ParseBounds(b.Args()[2:]); !ok || got != b {
			t.Errorf("%+v: %+v, %v", b, got, ok)
		}
	}
	for _, words := range [][]string{{"bounded", "nested"}, {"nested", "nested"}, {""}, {"nested", "bounded", "x"}} {
		if got, ok := ParseBounds(words); ok {
			t.Errorf("%q: %+v", words, got)
		}
	}
}
