package preset

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// person is somebody without any client: an empty home, an empty system, and
// the variables that are given as NAME, VALUE.
func person(t *testing.T, variables ...string) Clients {
	t.Helper()
	values := map[string]string{}
	for i := 0; i < len(variables); i += 2 {
		values[variables[i]] = variables[i+1]
	}
	home := t.TempDir()
	// Else go leaves a process behind that writes there for a moment.
	write(t, filepath.Join(home, ".config/go/telemetry/mode"), "off")
	return Clients{
		Home: home, System: t.TempDir(),
		Lookup: func(name string) (string, bool) { value, ok := values[name]; return value, ok },
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// program writes a client that is a shell script, and returns its directory.
func program(t *testing.T, name, script string) string {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, name)
	write(t, path, "#!/bin/sh\n"+script)
	if err := os.Chmod(path, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// shown are hosts as HOST:PORT, with " open" behind those that are.
func shown(hosts []Host) []string {
	var all []string
	for _, h := range hosts {
		text := h.Host + ":" + strconv.Itoa(h.Port)
		if h.Open {
			text += " open"
		}
		all = append(all, text)
	}
	return all
}

// finds wants the hosts of one preset, or an error that contains text.
func finds(t *testing.T, c Clients, name, failure string, want ...string) {
	t.Helper()
	table, err := c.Find(t.Context(), []string{name})
	if failure != "" {
		if err == nil || !strings.Contains(err.Error(), failure) {
			t.Errorf("%v, error %v, want %q", shown(table[name]), err, failure)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	got := shown(table[name])
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("hosts %q, want %q", got, want)
	}
}
