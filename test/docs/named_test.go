package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPagesNameTestsThatExist: whoever looks for what shows a sentence finds it.
func TestPagesNameTestsThatExist(t *testing.T) {
	declared, named := map[string]bool{}, 0
	for _, function := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllStringSubmatch(sources(t), -1) {
		declared[function[1]] = true
	}
	for page, text := range pages(t) {
		for _, name := range regexp.MustCompile(`\b(?:Test|Fuzz|Benchmark)[A-Z]\w+`).FindAllString(text, -1) {
			if named++; !declared[name] {
				t.Errorf("%s names %s, which there is not", page, name)
			}
		}
	}
	if named < 300 {
		t.Errorf("%d tests are named", named)
	}
}

// TestCommandsAreDescribed: each command has a row, and each flag of a row is
// the command's.
func TestCommandsAreDescribed(t *testing.T) {
	_, table, _ := strings.Cut(document(t, "cli.md"), "\n## Commands\n")
	table, _, _ = strings.Cut(table, "\n## ")
	files, err := filepath.Glob(filepath.Join(root, "internal", "cli", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	commands := 0
	for _, file := range files {
		source := read(t, file)
		for _, use := range regexp.MustCompile(`\bUse:\s+"([a-z]+)["\s]`).FindAllStringSubmatch(source, -1) {
			commands++
			row := regexp.MustCompile("(?m)^\\|[^|]*`" + use[1] + "[` ].*$").FindString(table)
			if row == "" {
				t.Errorf("docs/cli.md has no row of %s", use[1])
			}
			if !strings.HasPrefix(row, "| `"+use[1]) {
				continue // a row of several, whose flags are the first one's
			}
			for _, flag := range regexp.MustCompile("--([a-z-]+)").FindAllStringSubmatch(row, -1) {
				if !strings.Contains(source, `"`+flag[1]+`"`) {
					t.Errorf("docs/cli.md: %s has no flag --%s", use[1], flag[1])
				}
			}
		}
	}
	if commands < 20 {
		t.Errorf("%d commands", commands)
	}
}

// pages are the documents that people read, by their names.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"README.md", "docs/*.md", "changelog/unreleased/*.md"} {
		files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d pages, %v", pattern, len(files), err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[strings.TrimPrefix(file, root+string(filepath.Separator))] = string(text)
		}
	}
	return texts
}
