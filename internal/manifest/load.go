package manifest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"claude-bottle/internal/hint"
)

// ErrNone is returned, wrapped, when neither directory has a manifest.
var ErrNone = errors.New("no manifest")

// names of a manifest in its directory. Two of them at once are an error.
var names = []string{"claude-bottle.json", "claude-bottle.yaml", "claude-bottle.yml"}

// Load reads the manifests of cwd and of home, merges and checks them. When
// both are one directory its file is home's. home may be empty. An error about
// what the files say is an [Errors] with all of it.
func Load(cwd, home string) (*Manifest, error) { return load(cwd, home, "", nil) }

// LoadEdited is Load as if the file at path, a manifest of one of the two
// directories, which need not exist, held data: for a check before it is
// saved.
func LoadEdited(cwd, home, path string, data []byte) (*Manifest, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	return load(cwd, home, path, data)
}

// Find returns the manifests that Load would read, home's first, without
// reading them. None is no error.
func Find(cwd, home string) ([]Source, error) {
	l, err := newLoader(cwd, home, "")
	if err != nil {
		return nil, err
	}
	var found []Source
	for _, file := range l.manifests {
		found = append(found, *file)
	}
	return found, nil
}

// loader reads each file at most once, so that what is hashed is what is
// parsed, whatever changes the files meanwhile.
type loader struct {
	cwd, home string
	manifests []*Source // home's first
	extra     []*Source // named by manifests
	problems  []Problem
	warnings  []Problem
}

func load(cwd, home, edited string, data []byte) (*Manifest, error) {
	l, err := newLoader(cwd, home, edited)
	if err != nil {
		return nil, err
	}
	if len(l.manifests) == 0 {
		return nil, l.none()
	}
	roots, unreadable := map[Origin]*node{}, false
	for _, file := range l.manifests {
		if err := l.withinProject(file); err != nil {
			return nil, err
		}
		if file.Path == edited {
			file.data = data
		} else if file.data, err = ReadFile(file.Path); err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if len(file.data) > maxFile {
			return nil, fmt.Errorf("read manifest: %s: larger than %d KiB", file.Path, maxFile>>10)
		}
		root := l.check(file)
		if root == nil { // half of what is meant: only syntax can be judged
			unreadable = true
		}
		roots[file.Origin] = root
	}
	if unreadable {
		return nil, Errors(sorted(l.problems))
	}
	m := l.build(merge(roots[Home], roots[Project]))
	l.guard(roots[Home], roots[Project])
	if len(l.problems) > 0 {
		return nil, Errors(sorted(l.problems))
	}
	m.project = l.projectFile(l.changes(roots[Home], roots[Project]))
	return m, nil
}

// withinProject refuses a project's manifest that is a link out of its
// directory: what is wrong with a file is quoted in errors, and a link that
// came with the code could name any file of the person's
// (TestProjectManifestIsNoLinkOut).
func (l *loader) withinProject(file *Source) error {
	if file.Origin != Project {
		return nil
	}
	path, err := filepath.EvalSymlinks(file.Path)
	if errors.Is(err, fs.ErrNotExist) { // reported where it is read
		return nil
	}
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	dir, err := filepath.EvalSymlinks(l.cwd)
	if err != nil {
		return fmt.Errorf("read manifest: %w", err)
	}
	if within, err := filepath.Rel(dir, path); err != nil || !filepath.IsLocal(within) {
		err := fmt.Errorf("read manifest: %s is a link out of the project's directory", plain(file.Path))
		return hint.With(err, "put the file itself there")
	}
	return nil
}

func newLoader(cwd, home, edited string) (*loader, error) {
	cwd, err := filepath.Abs(cwd)
	if err != nil {
		return nil, fmt.Errorf("find manifest: %w", err)
	}
	if home != "" {
		if home, err = filepath.Abs(home); err != nil {
			return nil, fmt.Errorf("find manifest: %w", err)
		}
	}
	l := &loader{cwd: cwd, home: home}
	if home != "" {
		if err := l.find(home, Home, edited); err != nil {
			return nil, err
		}
	}
	if home == "" || !sameDirectory(cwd, home) {
		if err := l.find(cwd, Project, edited); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func sameDirectory(a, b string) bool {
	if a == b {
		return true
	}
	first, errA := os.Stat(a)
	second, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(first, second)
}

// find adds the manifest of dir. A link to nowhere counts as there: to pass it
// over would hide that it is broken.
func (l *loader) find(dir string, origin Origin, edited string) error {
	var found []string
	for _, name := range names {
		path := filepath.Join(dir, name)
		_, err := os.Lstat(path)
		switch {
		case err == nil || path == edited:
			found = append(found, path)
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("find manifest: %w", err)
		}
	}
	if len(found) > 1 {
		err := fmt.Errorf("two manifests in one directory: %s", plain(strings.Join(found, ", ")))
		return hint.With(err, "keep one of them: they are not merged")
	}
	for _, path := range found {
		l.manifests = append(l.manifests, &Source{Path: path, Origin: origin})
	}
	return nil
}

func (l *loader) none() error {
	dirs := l.cwd
	if l.home != "" && l.home != l.cwd {
		dirs += " and " + l.home
	}
	err := fmt.Errorf("%w: looked for claude-bottle.json, .yaml and .yml in %s", ErrNone, plain(dirs))
	return hint.With(err, "claude-bottle init")
}

// check parses one manifest and walks it by the table.
func (l *loader) check(file *Source) *node {
	root, problems := parse(file, filepath.Ext(file.Path) != ".json")
	l.problems = append(l.problems, problems...)
	if root == nil {
		return nil
	}
	c := newChecker(l)
	c.value(table(), visit{node: root})
	l.problems = append(l.problems, c.problems...)
	return root
}

// named reads a file that a manifest names, once for all that name it.
func (l *loader) named(by *Source, path string) ([]byte, error) {
	i := slices.IndexFunc(l.extra, func(s *Source) bool { return s.Path == path && s.Origin == by.Origin })
	if i >= 0 {
		return l.extra[i].data, nil
	}
	// Home and project may name one file: it is read once for both.
	var data []byte
	if i = slices.IndexFunc(l.extra, func(s *Source) bool { return s.Path == path }); i >= 0 {
		data = l.extra[i].data
	} else {
		var err error
		if data, err = ReadFile(path); err != nil {
			return nil, err
		}
	}
	l.extra = append(l.extra, &Source{Path: path, Origin: by.Origin, data: data})
	return data, nil
}

// sources are the manifest of one origin and what it names, sorted.
func (l *loader) sources(origin Origin) []Source {
	var all []Source
	for _, file := range l.manifests {
		if file.Origin == origin {
			all = append(all, *file)
		}
	}
	var extra []Source
	for _, file := range l.extra {
		if file.Origin == origin {
			extra = append(extra, *file)
		}
	}
	slices.SortFunc(extra, func(a, b Source) int { return strings.Compare(a.Path, b.Path) })
	return append(all, extra...)
}
