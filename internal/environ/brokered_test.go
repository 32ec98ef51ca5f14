package environ

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"claude-bottle/internal/policy"
)

const hidden = "ghp_S0meV3ryLongTokenThatNobodyKnows00ab"

func brokeredEntry(name, source string) Entry {
	return Entry{Name: name, Kind: Host, Source: source, Use: &policy.Secret{Name: name, Hosts: []string{"api.example"}}}
}

func gatherAll(t *testing.T, environment map[string]string, entries ...Entry) (Secrets, error) {
	t.Helper()
	return Gather(context.Background(), entries, Sources{Lookup: func(name string) (string, bool) { v, ok := environment[name]; return v, ok }})
}

// The bottle gets placeholders and the gateway the values; nothing prints one.
func TestGatherBrokered(t *testing.T) {
	aws := brokeredEntry("AWS_SECRET_ACCESS_KEY", "KEY")
	aws.Use.SigV4 = true
	aws.With = []Entry{{Name: "AWS_ACCESS_KEY_ID", Kind: Host, Source: "ID"}, {Name: "AWS_SESSION_TOKEN", Kind: Host, Source: "SESSION"}}
	environment := map[string]string{
		"TOKEN": hidden, "KEY": "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY00", "ID": "AKIAIOSFODNN7EXAMPLE",
		"SESSION": "FwoGZXIvYXdzEBYaDAexampleexample", "PLAIN": "readable-secret",
	}
	s, err := gatherAll(t, environment,
		brokeredEntry("GITHUB_TOKEN", "TOKEN"), brokeredEntry("GH_TOKEN", "TOKEN"), aws, Entry{Name: "PLAIN", Kind: Host, Source: "PLAIN"})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Env(); len(got) != 1 || got[0] != "PLAIN=readable-secret" {
		t.Errorf("readable: %q", got)
	}
	inside := map[string]string{}
	for _, variable := range s.Placeholders() {
		name, value, _ := strings.Cut(variable, "=")
		inside[name] = value
	}
	if len(inside) != 5 || inside["GITHUB_TOKEN"] != inside["GH_TOKEN"] || len(inside["GITHUB_TOKEN"]) != len(hidden) {
		t.Errorf("placeholders: %v", inside)
	}
	held := s.Brokered()
	if len(held) != 2 || held[0].Value != hidden || held[1].KeyID.Value != environment["ID"] || held[1].Token.Placeholder != inside["AWS_SESSION_TOKEN"] {
		t.Errorf("held: %d", len(held))
	}
	encoded, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %v %+v %#v", s, s, s, encoded, held, held[0], held[1])
	for _, value := range environment {
		if strings.Contains(printed, value) || strings.Contains(strings.Join(s.Placeholders(), ""), value) {
			t.Errorf("a value is shown: %s", printed)
		}
	}
}

func TestGatherBrokeredRefuses(t *testing.T) {
	elsewhere := brokeredEntry("OTHER", "TOKEN")
	elsewhere.Use.Hosts = []string{"other.example"}
	for what, test := range map[string]struct {
		want    string
		entries []Entry
	}{
		"one value, two uses":        {"its value or placeholder is in another secret's", []Entry{brokeredEntry("TOKEN", "TOKEN"), elsewhere}},
		"readable under a name":      {"PLAIN holds it too", []Entry{brokeredEntry("TOKEN", "TOKEN"), {Name: "PLAIN", Kind: Host, Source: "URL"}}},
		"in a literal":               {"LITERAL holds it too", []Entry{brokeredEntry("TOKEN", "TOKEN"), {Name: "LITERAL", Kind: Literal, Value: hidden}}},
		"too short":                  {"too short to be brokered", []Entry{brokeredEntry("TOKEN", "SHORT")}},
		"no header could carry it":   {"characters that no header can carry", []Entry{brokeredEntry("TOKEN", "LINES")}},
		"empty":                      {"is not set: EMPTY", []Entry{brokeredEntry("TOKEN", "EMPTY")}},
		"missing":                    {"is not set: ABSENT", []Entry{brokeredEntry("TOKEN", "ABSENT")}},
		"the part of one is missing": {"is not set: ABSENT", []Entry{{Name: "K", Kind: Host, Source: "TOKEN", Use: &policy.Secret{}, With: []Entry{{Name: "I", Kind: Host, Source: "ABSENT"}}}}},
	} {
		_, err := gatherAll(t, map[string]string{
			"TOKEN": hidden, "URL": "https://me:" + hidden + "@x", "SHORT": "abc1234", "LINES": "one\ntwo three four", "EMPTY": "",
		}, test.entries...)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), hidden) {
			t.Errorf("%s: %v, want %q", what, err, test.want)
		}
	}
}

// Decoys look like secrets and are nobody's.
func TestDecoys(t *testing.T) {
	s, err := Decoys([]Entry{brokeredEntry("TOKEN", "TOKEN"), {Name: "PLAIN", Kind: Host, Source: "PLAIN"}})
	if err != nil || len(s.Placeholders()) != 1 || len(s.Brokered()) != 1 || len(s.Env()) != 0 {
		t.Errorf("%v %v", s, err)
	}
}
