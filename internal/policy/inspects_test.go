package policy

import "testing"

func TestInspects(t *testing.T) {
	for name, tt := range map[string]struct {
		egress Egress
		want   bool
	}{
		"nothing":        {Egress{}, false},
		"names":          {Egress{Allow: []Allow{{Host: "a.example"}}, Rules: []Rule{{Host: "b.example"}}, Inspect: "auto"}, false},
		"all":            {Egress{Inspect: "always"}, true},
		"one":            {Egress{Inspect: "never", Rules: []Rule{{Host: "a.example", Inspect: "always"}}}, true},
		"paths":          {Egress{Rules: []Rule{{Host: "a.example", Paths: []string{"/x"}}}}, true},
		"methods":        {Egress{Rules: []Rule{{Host: "a.example", Methods: []string{"GET"}, Deny: true}}}, true},
		"methods unseen": {Egress{Rules: []Rule{{Host: "a.example", Methods: []string{"GET"}, Inspect: "never"}}}, false},
	} {
		if got := tt.egress.Inspects(); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
