package manifest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// FuzzLoadJSON and FuzzLoadYAML load a project's manifest beside home's. They
// look for a panic, for a text that takes long, for a problem without a place,
// and for a manifest that the schema would refuse.
func FuzzLoadJSON(f *testing.F) { fuzzLoad(f, ".json") }

// FuzzLoadYAML is FuzzLoadJSON for the other format.
func FuzzLoadYAML(f *testing.F) { fuzzLoad(f, ".yaml") }

func fuzzLoad(f *testing.F, extension string) {
	files, err := filepath.Glob("testdata/*/*" + extension)
	if err != nil || len(files) == 0 {
		f.Fatalf("corpus: %v, %v", files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	schema := validator(f)
	cwd, home := dirs(f, map[string]string{"home/claude-bottle.yaml": "bottles: {work: {env: {T: '${T}'}, egress: {proxy: 'http://p:1'}}}\nagents: {dev: {bottle: work}}\n"})
	path := filepath.Join(cwd, "claude-bottle"+extension)
	f.Fuzz(func(t *testing.T, data []byte) {
		began := time.Now()
		m, err := LoadEdited(cwd, home, path, data)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%d bytes took %s", len(data), took)
		}
		var list Errors
		switch {
		case errors.As(err, &list):
			for _, problem := range list {
				if problem.At.Line < 1 || problem.At.Column < 1 || problem.Message == "" {
					t.Errorf("a problem without a place: %+v", problem)
				}
			}
		case err != nil:
			if len(data) <= maxFile {
				t.Errorf("an error of no place: %v", err)
			}
		default:
			root, _ := parse(&Source{Path: path, data: data}, extension != ".json")
			if err := schema.Validate(instance(root)); err != nil {
				t.Errorf("the schema refuses what was loaded: %v", err)
			}
			if m.Project() == nil {
				t.Error("no project")
			}
		}
	})
}
