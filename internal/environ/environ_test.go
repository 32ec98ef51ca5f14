package environ

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, raw string
		want      Entry
		warns     bool
	}{
		{"A", "", Entry{Name: "A", Kind: Literal}, false},
		{"A", "text with = and $B", Entry{Name: "A", Kind: Literal, Value: "text with = and $B"}, false},
		{"A", "${B}", Entry{Name: "A", Kind: Host, Source: "B"}, false},
		{"_a1", "${_b2}", Entry{Name: "_a1", Kind: Host, Source: "_b2"}, false},
		{"A", "?", Entry{Name: "A", Kind: Ask}, false},
		{"A", "?which one", Entry{Name: "A", Kind: Ask, Source: "which one"}, false},
		{"A", "?${B}", Entry{Name: "A", Kind: Ask, Source: "${B}"}, false},
		{"A", " ?x", Entry{Name: "A", Kind: Literal, Value: " ?x"}, false},
		{"A", "${B} ", Entry{Name: "A", Kind: Literal, Value: "${B} "}, true},
		{"A", "x${B}", Entry{Name: "A", Kind: Literal, Value: "x${B}"}, true},
		{"A", "${}", Entry{Name: "A", Kind: Literal, Value: "${}"}, true},
		{"A", "${1B}", Entry{Name: "A", Kind: Literal, Value: "${1B}"}, true},
		{"A", "${B", Entry{Name: "A", Kind: Literal, Value: "${B"}, true},
		{"LD_PRELOAD", "x", Entry{Name: "LD_PRELOAD", Kind: Literal, Value: "x"}, false},
		{"MY_HTTP_PROXY", "x", Entry{Name: "MY_HTTP_PROXY", Kind: Literal, Value: "x"}, false},
	} {
		got, warning, err := Parse(test.name, test.raw)
		if !reflect.DeepEqual(got, test.want) || (warning != "") != test.warns || err != nil {
			t.Errorf("Parse(%q, %q) = %+v, %q, %v", test.name, test.raw, got, warning, err)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, test := range []struct{ name, raw, want string }{
		{"", "x", "no name"},
		{"1A", "x", "no name"},
		{"A B", "x", "no name"},
		{"A=B", "x", "no name"},
		{"É", "x", "no name"},
		{"A\n", "x", "no name"},
		{"HTTP_PROXY", "x", "set by claude-bottle"},
		{"https_proxy", "x", "set by claude-bottle"},
		{"All_Proxy", "x", "set by claude-bottle"},
		{"NO_PROXY", "x", "set by claude-bottle"},
		{"A", "hunter2\n", "one line"},
		{"A", "hunter2\r", "one line"},
		{"A", "hunter2\x00", "NUL"},
		{"A", "?hunter2\x1b[2J", "cannot be printed"},
		{"A", "?hunter2\u202e", "cannot be printed"},
	} {
		_, _, err := Parse(test.name, test.raw)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("Parse(%q, %q): %v, want %q", test.name, test.raw, err, test.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error shows the value: %v", err)
		}
	}
}

func TestParseLiteral(t *testing.T) {
	for _, raw := range []string{"?x", "${A}", "x${A}", ""} {
		got, err := ParseLiteral("A", raw)
		if err != nil || !reflect.DeepEqual(got, Entry{Name: "A", Kind: Literal, Value: raw}) {
			t.Errorf("ParseLiteral(%q) = %+v, %v", raw, got, err)
		}
	}
	for _, bad := range [][2]string{{"1A", "x"}, {"A", "a\nb"}, {"NO_PROXY", "*"}} {
		if _, err := ParseLiteral(bad[0], bad[1]); err == nil {
			t.Errorf("ParseLiteral(%q, %q) is taken", bad[0], bad[1])
		}
	}
}
