package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// alone puts one file of the corpus alone into a home, with the files that the
// corpus names.
func alone(t testing.TB, file string) (cwd, home string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key := authority(t)
	return dirs(t, map[string]string{
		"home/claude-bottle" + filepath.Ext(file): string(data),
		"home/roots.pem":  "# corp\n" + certificate,
		"home/key.pem":    certificate + key,
		"home/broken.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
		"home/large.pem":  strings.Repeat("#\n", maxFile/2+1),
	})
}

// TestCorpus holds loader and schema to one verdict. The directories of
// testdata say which: valid passes both, invalid fails both, beyond fails the
// loader alone, which knows more, and syntax fails before there is a value
// that a schema could judge. Each failure is also a golden file.
func TestCorpus(t *testing.T) {
	verdicts := map[string]struct{ loader, schema bool }{
		"valid": {true, true}, "invalid": {false, false}, "beyond": {false, true},
	}
	schema := validator(t)
	files, err := filepath.Glob("testdata/*/*.*")
	if err != nil || len(files) < 20 {
		t.Fatalf("corpus: %d files, %v", len(files), err)
	}
	for _, file := range files {
		if filepath.Ext(file) == ".golden" {
			continue
		}
		t.Run(strings.TrimPrefix(file, "testdata/"), func(t *testing.T) {
			cwd, home := alone(t, file)
			_, err := Load(cwd, home)
			if err != nil {
				golden(t, file+".golden", filepath.Dir(home), err.Error()+"\n")
				var list Errors
				if !errors.As(err, &list) {
					t.Errorf("error is a %T, want Errors", err)
				}
			}
			want, judged := verdicts[filepath.Base(filepath.Dir(file))]
			if (err == nil) != want.loader {
				t.Errorf("loader: %v, want accepted %t", err, want.loader)
			}
			if !judged {
				return
			}
			found, findErr := Find(cwd, home)
			if findErr != nil || len(found) != 1 {
				t.Fatalf("Find: %v, %v", found, findErr)
			}
			found[0].data, _ = os.ReadFile(found[0].Path)
			root, problems := parse(&found[0], filepath.Ext(file) != ".json")
			if root == nil || len(problems) > 0 {
				t.Fatalf("not judged by the schema: %v", problems)
			}
			if err := schema.Validate(instance(root)); (err == nil) != want.schema {
				t.Errorf("schema: %v, want accepted %t", err, want.schema)
			}
		})
	}
}

// TestSchemaListsOnlyWhatWorks finds no key of a later or earlier version.
func TestSchemaListsOnlyWhatWorks(t *testing.T) {
	schema := string(Schema())
	for _, key := range []string{"git", "runtime"} {
		if strings.Contains(schema, `"`+key+`":`) {
			t.Errorf("the schema lists %q", key)
		}
	}
	for _, key := range []string{"allowlist", "presets", "private", "resolve", "ca", "proxy", "memory", "isolation", "gateway", "harness", "skills", "prompt", "bottle", "value"} {
		if !strings.Contains(schema, `"`+key+`":`) {
			t.Errorf("the schema lacks %q", key)
		}
	}
}

// TestDocument loads the example of the documentation, and looks there for
// every key that works and every one that does not yet.
func TestDocument(t *testing.T) {
	page, err := os.ReadFile("../../docs/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("no example")
	}
	certificate, _ := authority(t)
	cwd, home := dirs(t, map[string]string{"home/claude-bottle.yaml": example, "home/corp-ca.pem": certificate})
	m, err := Load(cwd, home)
	if err != nil {
		t.Fatal(err)
	}
	if len(m.Warnings) > 0 {
		t.Errorf("the example warns: %v", m.Warnings)
	}
	var keys func(f *field)
	keys = func(f *field) {
		for _, known := range f.fields {
			if !strings.Contains(string(page), known.name) {
				t.Errorf("the page does not say what %q is", known.name)
			}
			if known.field != nil {
				if known.refusal == "" && known.name != "$schema" && !strings.Contains(example, known.name+":") && known.name != "ssh" {
					t.Errorf("the example lacks %q", known.name)
				}
				keys(known.field)
			}
		}
		for _, below := range []*field{f.each, f.item} {
			if below != nil {
				keys(below)
			}
		}
	}
	keys(table())
}

// TestSetUps loads each set-up that docs/secrets.md has for pasting.
func TestSetUps(t *testing.T) {
	page, err := os.ReadFile("../../docs/secrets.md")
	if err != nil {
		t.Fatal(err)
	}
	certificate, _ := authority(t)
	found := 0
	for i, block := range strings.Split(string(page), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(block, "```")
		if !strings.HasPrefix(text, "bottles:") {
			continue
		}
		found++
		cwd, home := dirs(t, map[string]string{"home/claude-bottle.yaml": text + "agents: {dev: {bottle: work}}\n", "home/corp-ca.pem": certificate})
		m, err := Load(cwd, home)
		if err != nil {
			t.Errorf("block %d: %v", i+1, err)
			continue
		}
		var brokered int
		for _, entry := range m.Bottles["work"].Env {
			if entry.Brokered() {
				brokered++
			}
		}
		if brokered == 0 || len(m.Warnings) > 0 {
			t.Errorf("block %d: %d secrets, %v", i+1, brokered, m.Warnings)
		}
	}
	if found != 7 {
		t.Errorf("%d set-ups", found)
	}
}
