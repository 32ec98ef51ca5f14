package platform

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestInstallProgram(t *testing.T) {
	state, source := t.TempDir(), filepath.Join(t.TempDir(), "claude-bottle")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(source, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	install := func(want string) Program {
		t.Helper()
		p, err := InstallProgram(source, state)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(p.Guest)
		if err != nil || string(got) != want {
			t.Fatalf("%s holds %q, %v, want %q", p.Guest, got, err, want)
		}
		if info, err := os.Stat(p.Guest); err != nil || info.Mode().Perm() != 0o755 {
			t.Fatalf("mode %v, %v", info.Mode(), err)
		}
		return p
	}
	write("one")
	first := install("one")
	if again := install("one"); again != first {
		t.Errorf("installed again as %+v, want %+v", again, first)
	}
	// An upgrade of the same size, within the same second.
	write("two")
	if err := os.Chtimes(source, time.Now(), time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if second := install("two"); second == first {
		t.Error("the upgrade was not noticed")
	}
	if got, err := os.ReadFile(first.Guest); err != nil || string(got) != "one" {
		t.Errorf("the first version became %q, %v", got, err)
	}
	// A note that says nothing is written anew.
	notes, err := filepath.Glob(filepath.Join(ProgramsDir(state), "note-*"))
	if err != nil || len(notes) != 2 {
		t.Fatalf("%v, %v", notes, err)
	}
	for _, note := range notes {
		if err := os.WriteFile(note, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	install("two")
	if got, err := os.ReadFile(notes[0]); err != nil || len(got) == 0 {
		if got, err = os.ReadFile(notes[1]); err != nil || len(got) == 0 {
			t.Errorf("the notes say nothing: %v", err)
		}
	}
	// The copy was removed, the note was not.
	if err := os.RemoveAll(filepath.Dir(first.Guest)); err != nil {
		t.Fatal(err)
	}
	write("one")
	install("one")
	if _, err := InstallProgram(filepath.Join(state, "missing"), state); err == nil {
		t.Error("a missing program was installed")
	}
}
