package docs

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMapHasEveryPackage: who looks for a package finds it in the map, and what
// the map names is there.
func TestMapHasEveryPackage(t *testing.T) {
	_, section, _ := strings.Cut(document(t, "architecture.md"), "\n## The map\n\n```\n")
	section, _, found := strings.Cut(section, "```")
	if !found {
		t.Fatal("docs/architecture.md has no map")
	}
	packages := packages(t)
	listed := map[string]bool{}
	for line := range strings.Lines(section) {
		cells := regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1)
		for _, name := range cells[:len(cells)-1] {
			if strings.HasPrefix(line, "  ") {
				name = "internal/" + name
			}
			listed[name] = true
			if _, err := os.Stat(filepath.Join(root, name)); err != nil {
				t.Errorf("docs/architecture.md: %v", err)
			}
		}
	}
	for _, name := range packages {
		if !listed[name] && !listed[path.Dir(path.Dir(name))] {
			t.Errorf("docs/architecture.md: the map does not have %s", name)
		}
	}
}

// packages are the directories with Go in them, but for the small ones called
// cmd that make a package's program.
func packages(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, top := range []string{"cmd", "internal", "test"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() && entry.Name() == "testdata" {
				return fs.SkipDir
			}
			if filepath.Ext(file) != ".go" {
				return nil
			}
			dir, err := filepath.Rel(root, filepath.Dir(file))
			if dir = filepath.ToSlash(dir); !slices.Contains(found, dir) {
				found = append(found, dir)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// TestLinksLeadSomewhere: a page that a document points to is there, and has the
// heading that is named.
func TestLinksLeadSomewhere(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		text := read(t, page)
		for _, link := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			file, heading, _ := strings.Cut(link[1], "#")
			if strings.Contains(file, "://") {
				continue
			}
			target := page
			if file != "" {
				target = filepath.Join(filepath.Dir(page), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			if heading != "" && filepath.Ext(target) == ".md" && !slices.Contains(anchors(read(t, target)), heading) {
				t.Errorf("%s: %s has no heading #%s", page, target, heading)
			}
		}
	}
}

// anchors are the names by which a page's headings are linked to.
func anchors(text string) []string {
	var found []string
	for _, heading := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\pL\pN _-]`).ReplaceAllString(strings.ToLower(heading[1]), "")
		found = append(found, strings.ReplaceAll(name, " ", "-"))
	}
	return found
}

// TestChangesSayTheirKind: a release lists changes by kind, each by its first
// line (changelog/README.md).
func TestChangesSayTheirKind(t *testing.T) {
	first := regexp.MustCompile(`^(Security|Change|Enhancement|Bugfix): [^\n]*[^.\n]\n(\n|$)`)
	changes, err := filepath.Glob(filepath.Join(root, "changelog", "unreleased", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range changes {
		if !first.MatchString(read(t, change)) {
			t.Errorf("%s: the first line is not a kind and one sentence without a full stop, with an empty line behind it", change)
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
