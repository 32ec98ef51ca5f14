package engine_test

import (
	"flag"
	"slices"
	"testing"

	"claude-bottle/test/engine"
)

// Tests that take long run where time was promised, where everything is, and
// when they are asked for by name, and else they are skipped.
func TestLong(t *testing.T) {
	names := flag.Lookup("test.run")
	asked := names.Value.String()
	defer func() { _ = names.Value.Set(asked) }()
	for name, tt := range map[string]struct {
		ci, parts, run string
		runs           bool
	}{
		"go test":      {},
		"other parts":  {parts: "engine,timely"},
		"make test":    {parts: "engine,time,tools", runs: true},
		"CI":           {ci: "true", runs: true},
		"go test -run": {run: "TestLong", runs: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("CI", tt.ci)
			t.Setenv(engine.Parts, tt.parts)
			if err := names.Value.Set(tt.run); err != nil {
				t.Fatal(err)
			}
			ran := false
			t.Run("test", func(t *testing.T) {
				engine.Long(t)
				ran = true
			})
			if ran != tt.runs {
				t.Errorf("ran: %v", ran)
			}
		})
	}
}

// What `make test` promises has all that tests may ask for but programs, which
// it adds, and what is only in an engine of its own.
func TestPartsOfAnyEngine(t *testing.T) {
	parts := new(engine.Engine).Parts()
	for _, part := range []string{engine.PartEngine, engine.PartBase, engine.PartTime} {
		if !slices.Contains(parts, part) {
			t.Errorf("%s is not promised", part)
		}
	}
}
