package environ

import (
	"bytes"
	"context"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"claude-bottle/internal/hint"
)

const value = "hunter2-value"

func environment(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1], true
			}
		}
		return "", false
	}
}

func never(context.Context, string, string) (string, error) { return "", errors.New("asked") }

// TestSecretsPrintAsNothing tries every usual way by which a value gets into a
// log, above all as an unexported field of something that is printed whole.
func TestSecretsPrintAsNothing(t *testing.T) {
	secrets, err := Gather(t.Context(), []Entry{{Name: "TOKEN", Kind: Host, Source: "T"}}, Sources{Lookup: environment("T", value), Ask: never})
	if err != nil {
		t.Fatal(err)
	}
	if got := secrets.Env(); !slices.Equal(got, []string{"TOKEN=" + value}) {
		t.Fatalf("Env: %q", got)
	}
	type holder struct {
		Shown  Secrets
		hidden Secrets
		deep   *Secrets
		list   []Secrets
		any    any
	}
	held := holder{secrets, secrets, &secrets, []Secrets{secrets}, secrets}
	var printed bytes.Buffer
	for _, thing := range []any{secrets, &secrets, held, &held, []any{held}, map[string]Secrets{"x": secrets}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10s", "%p"} {
			fmt.Fprintf(&printed, verb+"\n", thing)
		}
		if data, err := json.Marshal(thing); err == nil {
			printed.Write(data)
		}
		if data, err := xml.Marshal(thing); err == nil {
			printed.Write(data)
		}
		_ = gob.NewEncoder(&printed).Encode(thing)
		slog.New(slog.NewTextHandler(&printed, nil)).Info("x", "secrets", thing)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("x", "secrets", thing)
		fmt.Fprintln(&printed, fmt.Errorf("failed: %v", thing))
	}
	text := printed.String()
	if !strings.Contains(text, "secrets(TOKEN)") || !strings.Contains(text, `["TOKEN"]`) {
		t.Error("the names are not shown")
	}
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprintf("%d", []byte(value))} {
		if strings.Contains(text, form) {
			t.Errorf("printed %q:\n%s", form, text)
		}
	}
}

func TestZeroSecrets(t *testing.T) {
	var none Secrets
	data, err := json.Marshal(none)
	if none.Env() != nil || none.String() != "secrets()" || string(data) != "[]" || err != nil {
		t.Errorf("%v %s %s %v", none.Env(), none, data, err)
	}
}

func TestEnvIsTheCallers(t *testing.T) {
	secrets, err := Gather(t.Context(), []Entry{{Name: "A", Kind: Host, Source: "A"}}, Sources{Lookup: environment("A", "1"), Ask: never})
	if err != nil {
		t.Fatal(err)
	}
	secrets.Env()[0] = "A=2"
	if secrets.Env()[0] != "A=1" {
		t.Error("a caller changes what the next one gets")
	}
}

func TestCheckReportsAllAtOnce(t *testing.T) {
	entries := []Entry{
		{Name: "A", Kind: Host, Source: "A"},
		{Name: "B", Kind: Literal, Value: "${NOT_ASKED_FOR}"},
		{Name: "C", Kind: Host, Source: "OTHER"},
		{Name: "D", Kind: Host, Source: "EMPTY"},
		{Name: "E", Kind: Ask},
	}
	err := Check(entries, environment("EMPTY", ""))
	if err == nil || err.Error() != "variables that the manifest names are not set: A, OTHER (for C)" {
		t.Errorf("error: %v", err)
	}
	if got := hint.Of(err); got != "export A=… OTHER=…" {
		t.Errorf("hint: %s", got)
	}
	if err := Check(entries, environment("EMPTY", "", "A", "1", "OTHER", "2")); err != nil {
		t.Error(err)
	}
}

func TestGather(t *testing.T) {
	entries := []Entry{
		{Name: "LITERAL", Kind: Literal, Value: "x"},
		{Name: "FIRST", Kind: Ask, Source: "first?"},
		{Name: "HOST", Kind: Host, Source: "H"},
		{Name: "SECOND", Kind: Ask, Source: "second?"},
	}
	var asked []string
	ask := func(_ context.Context, name, message string) (string, error) {
		asked = append(asked, name+" "+message)
		return "of " + name, nil
	}
	secrets, err := Gather(t.Context(), entries, Sources{Lookup: environment("H", "line\nline"), Ask: ask})
	if err != nil {
		t.Fatal(err)
	}
	if got := secrets.Env(); !slices.Equal(got, []string{"FIRST=of FIRST", "HOST=line\nline", "SECOND=of SECOND"}) {
		t.Errorf("Env: %q", got)
	}
	if !slices.Equal(asked, []string{"FIRST first?", "SECOND second?"}) {
		t.Errorf("asked: %q", asked)
	}
	if !slices.Equal(secrets.Names(), []string{"FIRST", "HOST", "SECOND"}) {
		t.Errorf("Names: %q", secrets.Names())
	}
}

func TestGatherRefuses(t *testing.T) {
	question := []Entry{{Name: "A", Kind: Ask, Source: "?"}}
	answer := func(value string, err error) func(context.Context, string, string) (string, error) {
		return func(context.Context, string, string) (string, error) { return value, err }
	}
	ended, end := context.WithCancel(t.Context())
	end()
	for name, test := range map[string]struct {
		ctx     context.Context
		entries []Entry
		ask     func(context.Context, string, string) (string, error)
		want    string
	}{
		"nobody to ask":    {t.Context(), question, nil, "no terminal to ask on for A"},
		"nothing entered":  {t.Context(), question, answer("", nil), "read A: nothing was entered"},
		"a NUL":            {t.Context(), question, answer(value+"\x00", nil), "read A: what was entered holds a NUL"},
		"the terminal":     {t.Context(), question, answer(value, errors.New("gone")), "read A: gone"},
		"a context":        {ended, question, answer(value, nil), "read A: context canceled"},
		"missing first":    {t.Context(), append(question, Entry{Name: "B", Kind: Host, Source: "B"}), never, "is not set: B"},
		"an unknown kind":  {t.Context(), []Entry{{Name: "A", Kind: "later"}}, never, "no entry of kind"},
		"nobody, with two": {t.Context(), append(question, Entry{Name: "B", Kind: Ask}), nil, "for A, B"},
	} {
		t.Run(name, func(t *testing.T) {
			secrets, err := Gather(test.ctx, test.entries, Sources{Lookup: environment(), Ask: test.ask})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error: %v, want %q", err, test.want)
			}
			if secrets.Env() != nil {
				t.Error("an error comes with secrets")
			}
			if strings.Contains(fmt.Sprint(err), value) {
				t.Error("the error shows the value")
			}
		})
	}
}
