//go:build linux

package cli_test

import (
	"net/http"
	"os"
	"strings"
	"testing"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
)

// TestTypedAheadIsNoAnswer: what was typed before a question could be read, to
// answer another one or what a bottle asked for before it ended, answers nothing.
func TestTypedAheadIsNoAnswer(t *testing.T) {
	denied := []audit.Event{{Host: "once.example", Port: 443, Decision: audit.Denied, Rule: policy.RuleDefault}}
	p := newPlace(t, listedManifest)
	c := p.refuses(t, denied)
	c.expect("1  once.example (1 time)") // nobody has read that yet
	c.types("a\n")
	c.expect("save to the manifest: [a]ll, numbers as 1,3, or [N]one? ")
	c.types("\n")
	c.ends(3)
	if saved, err := os.ReadFile(p.home + "/claude-bottle.yaml"); err != nil || string(saved) != listedManifest {
		t.Errorf("%v: saved\n%s", err, saved)
	}
}

// TestQuestionsStayOnTheScreen: a path is shown in part, in letters that take
// room, and what is not shown whole is not offered as a rule.
func TestQuestionsStayOnTheScreen(t *testing.T) {
	p := newPlace(t, listedManifest)
	p.runs(t)
	at := p.gateway(t, policy.Egress{Unlisted: policy.Ask})
	c := p.console(t, "approve")
	c.expect("waiting for what claude-bottle-shell asks for")
	through(t, at, http.MethodGet, "http://one.example/"+strings.Repeat("a", 300))
	c.expect("shell asks for GET one.example:80/" + strings.Repeat("a", 199) + "... (it waits for ")
	c.expect(")\r\n  1  one.example\r\n")
	c.expect("? ")
	c.types("\n")
	through(t, at, http.MethodGet, "http://two.example/\u2800b") // a blank of Braille
	c.expect("shell asks for GET two.example:80/%E2%A0%80b (it waits for ")
	c.expect("? ")
	c.types(ctrlC)
	_ = c.cmd.Wait()
}
