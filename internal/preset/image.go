package preset

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// Image is what bottles come from, as far as the package clients in it are
// configured by it. None of its programs is asked: they are the image's own.
type Image struct {
	// ID names the content; empty where there is no image, or none yet.
	ID string
	// Variables are those that it sets.
	Variables map[string]string
	// Hidden are directories that bottles have something else at: home, and the
	// workspace.
	Hidden []string
	// Open begins to read files of the image, and what it returns ends that. It
	// is called when Kept does not know the answer. Without it, files say
	// nothing.
	Open func(context.Context) (Files, func() error, error)
	// Kept is the file where what was found in the image is kept; empty for
	// nowhere.
	Kept string

	remembered bool // see Remembered
}

// Remembered is an image that is not looked into: what it says is what was kept,
// else what its variables do, and nothing is kept of that.
func (image Image) Remembered() Image {
	image.Open, image.remembered = nil, true
	return image
}

// inImage finds what an image says of one preset, in the files of its clients
// and by variables.
type inImage = func(Clients, context.Context) ([]said, error)

// imageFinders are those of presets whose clients an image can configure.
func imageFinders() map[string]inImage {
	return map[string]inImage{
		"npm": Clients.npmInside, "pypi": Clients.pypiInside, "go": Clients.golangInside,
		"crates": Clients.cratesInside, "maven": Clients.mavenSaid, "debian": Clients.debianSaid,
	}
}

// OfImage says whether an image can say hosts of a preset.
func OfImage(name string) bool { return imageFinders()[name] != nil }

// ask finds what the image says of the named presets: as it was kept, else by
// reading it. What is not understood is an error, and is not kept.
func (image Image) ask(ctx context.Context, names []string) (map[string][]said, error) {
	if image.ID == "" {
		return nil, nil
	}
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !OfImage(name) })
	kept := image.recall()
	missing := slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, known := kept[name]; return known })
	if len(missing) == 0 {
		return kept, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, err := image.read(ctx, missing)
	if err != nil {
		return nil, err
	}
	maps.Copy(kept, found)
	return kept, image.remember(kept)
}

// read reads what the image says of presets, one after the other.
func (image Image) read(ctx context.Context, names []string) (_ map[string][]said, err error) {
	files := Files(nowhere{})
	if image.Open != nil {
		opened, end, failed := image.Open(ctx)
		if failed != nil {
			return nil, fmt.Errorf("look for the registries of the clients in the image: %w", failed)
		}
		files = opened
		defer func() { err = errors.Join(err, end()) }()
	}
	inside := Clients{
		Lookup: func(name string) (string, bool) { value, ok := image.Variables[name]; return value, ok },
		names:  slices.Sorted(maps.Keys(image.Variables)),
		Home:   noHome, from: visible{files, append([]string{noHome}, image.Hidden...)},
	}
	found := map[string][]said{}
	for _, name := range names {
		if found[name], err = imageFinders()[name](inside, ctx); err != nil {
			return nil, fmt.Errorf("preset %s: in the image: %w", name, err)
		}
	}
	return found, nil
}

// noHome is the home of nobody. That of a bottle is the run's own, and not the
// image's.
const noHome = "/.claude-bottle/no-home"

// nowhere has no files.
type nowhere struct{}

func (nowhere) Read(context.Context, string) (string, bool, error) { return "", false, nil }
func (nowhere) List(context.Context, string) ([]string, error)     { return nil, nil }

// besideImage puts the hosts that the image says into the place of those that
// clients on this machine know, or, where the image only adds some, beside them.
// search asks these clients.
func besideImage(name string, inside []said, search func() ([]Host, error)) ([]Host, error) {
	if len(inside) == 0 {
		return search()
	}
	hosts, err := configured(name, inside, true, true)
	if err != nil || replaced(inside) {
		return hosts, err
	}
	others, err := search()
	return append(others, hosts...), err
}

// addresses are those in a variable, or in a value of a file, in the forms of
// all clients: separated by space, commas or bars, with a name before them.
func addresses(text string) []string {
	var urls []string
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\n,|", r) }) {
		if before, after, ok := strings.Cut(word, "="); ok && !strings.Contains(before, "://") {
			word = after
		}
		if isRemote(word) {
			urls = append(urls, word)
		}
	}
	return urls
}

// sayVariables is what variables say that hold addresses.
func (c Clients) sayVariables(replaces bool, names ...string) ([]said, error) {
	var all []said
	for _, name := range names {
		found, err := sayAll(addresses(c.variable(name)), name, replaces)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, found...)
	}
	return all, nil
}

// absolute are those of paths that are: what is relative lies in a project.
func absolute(paths ...string) []string {
	return slices.DeleteFunc(paths, func(p string) bool { return !path.IsAbs(p) })
}
