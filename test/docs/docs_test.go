// Package docs holds what the documents say of the code to the code.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// TestSecurityNamesTestsThatExist: a row of the threat model is worth what its
// test is. Of a subtest, each part must be a name that the sources quote.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)((?:/[^`/]+)*)`").FindAllStringSubmatch(document(t, "security.md"), -1)
	if len(named) < 60 {
		t.Fatalf("%d tests are named", len(named))
	}
	sources := sources(t)
	for _, name := range named {
		if !strings.Contains(sources, "\nfunc "+name[1]+"(") {
			t.Errorf("docs/security.md names %s, which there is not", name[1])
		}
		for part := range strings.SplitSeq(strings.TrimPrefix(name[2], "/"), "/") {
			if part != "" && !strings.Contains(sources, `"`+strings.ReplaceAll(part, "_", " ")+`"`) {
				t.Errorf("docs/security.md names %s%s, and nothing is called %q", name[1], name[2], part)
			}
		}
	}
}

// TestSecurityRowsNameATest: an attack without one is a claim. Tables that
// compare have other heads.
func TestSecurityRowsNameATest(t *testing.T) {
	test := regexp.MustCompile("`(?:Test|Fuzz)[A-Z]")
	rows, attacks := 0, false
	for line := range strings.Lines(document(t, "security.md")) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			attacks = false
		case strings.HasPrefix(line, "| attack |"):
			attacks = true
		case attacks && len(cells) > 3:
			if rows++; !test.MatchString(cells[2]) {
				t.Errorf("docs/security.md: no test shows %q", strings.TrimPrefix(cells[0], "| "))
			}
		}
	}
	if rows < 30 {
		t.Errorf("%d rows", rows)
	}
}

// TestWhereToLook: the places that the map points to, to look or to add, are
// there, in code that has what they are named for.
func TestWhereToLook(t *testing.T) {
	_, section, found := strings.Cut(document(t, "architecture.md"), "\n## Where to look\n")
	section, _, _ = strings.Cut(section, "\n## Dependencies\n")
	places := regexp.MustCompile("\\[`([A-Za-z]+(?:\\.[A-Za-z]+)*)`\\]\\(\\.\\./([^)]+\\.go)\\)").FindAllStringSubmatch(section, -1)
	if !found || len(places) < 8 {
		t.Fatalf("%d places are named", len(places))
	}
	for _, place := range places {
		source, err := os.ReadFile(filepath.Join(root, place[2]))
		if err != nil {
			t.Error(err)
			continue
		}
		name := place[1][strings.LastIndexByte(place[1], '.')+1:]
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|type )` + name + `\b`)
		if !declared.Match(source) {
			t.Errorf("docs/architecture.md: %s is not in %s", place[1], place[2])
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	return read(t, filepath.Join(root, "docs", name))
}

// sources is all code, that of the tests included.
func sources(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		source, err := os.ReadFile(path)
		all.Write(source)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// TestFuzzTargetsKeepACorpus: what parses or judges the bytes of a bottle is
// fuzzed from where the last time came to.
func TestFuzzTargetsKeepACorpus(t *testing.T) {
	targets := 0
	for _, dir := range []string{"gateway", "policy", "wire"} {
		files, err := filepath.Glob(filepath.Join(root, "internal", dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, target := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllSubmatch(source, -1) {
				targets++
				kept, err := filepath.Glob(filepath.Join(root, "internal", dir, "testdata", "fuzz", string(target[1]), "*"))
				if err != nil || len(kept) == 0 {
					t.Errorf("%s of %s keeps no corpus: %v", target[1], dir, err)
				}
			}
		}
	}
	if targets < 10 {
		t.Errorf("%d targets", targets)
	}
}
