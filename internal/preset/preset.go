// Package preset finds the hosts that egress.presets stand for: those that
// package clients are configured for, so that a company's mirrors take the place
// of the public registries. Of each preset the first counts that says any:
//
//  1. the image that bottles come from, if there is one, by its variables and
//     files (Image); registries that it only adds are beside what follows;
//  2. the person's own clients, by their configuration on this machine;
//  3. one versioned file of public registries (hosts.json), but for npm, Go and
//     Debian, whose clients alone know.
//
// What becomes of the hosts is left to bottle.
package preset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/hint"
)

// Host is one host of a preset. It is read from alone: GET and HEAD.
type Host struct {
	// Host is a normalised name or a literal address, and Port the one port
	// that is meant, which a URL's scheme says where the URL does not.
	Host string
	Port int
	// Paths are globs as [policy.Rule] has them; empty means all.
	Paths []string
	// Open says that anyone may publish there, or, of a host that was
	// configured, that nothing is known to the contrary.
	Open bool
	// Image has the file or the variable of the image that says the host; empty
	// for one that the clients on the host, or the file of public ones, know.
	Image string
}

// Table has the hosts of each preset that was looked up, by its name.
type Table map[string][]Host

// Clients is where the person's package clients and their configuration are
// found. The working directory has no part in it: what a project says of
// registries (.npmrc, go.env, pip.conf of a virtual environment) is never
// asked.
type Clients struct {
	Home   string // absolute
	Lookup func(name string) (string, bool)
	// System is what /etc is; empty for /etc.
	System string
	// Image is what bottles come from; none where they have the host's clients.
	Image Image

	from  Files    // nil for this machine's
	names []string // of variables, of an image's alone
}

// MaxFile bounds, in bytes, a file of configuration.
const MaxFile = 1 << 20

// patience is how long one client, or an image, may take to say what it is
// configured for.
const patience = 15 * time.Second

// finder finds the hosts of one preset.
type finder = func(Clients, context.Context) ([]Host, error)

// finders says how each preset's hosts are found.
func finders() map[string]finder {
	return map[string]finder{
		"npm":         Clients.npm,
		"pypi":        ofFiles("pypi", Clients.pypiSaid),
		"go":          Clients.golang,
		"crates":      ofFiles("crates", Clients.cratesSaid),
		"maven":       ofFiles("maven", Clients.mavenSaid),
		"rubygems":    func(Clients, context.Context) ([]Host, error) { return known("rubygems") },
		"debian":      Clients.debian,
		"github-read": func(Clients, context.Context) ([]Host, error) { return known("github-read") },
	}
}

// ofFiles is the finder of a preset whose clients are configured by files.
func ofFiles(name string, read inImage) finder {
	return func(c Clients, ctx context.Context) ([]Host, error) {
		all, err := read(c, ctx)
		if err != nil {
			return nil, err
		}
		return configured(name, all, replaced(all), false)
	}
}

// Names are all presets, sorted.
func Names() []string {
	var names []string
	for name := range finders() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Find looks the named presets up, all at once. Without names it asks nobody.
// The error joins those of all presets; each carries a hint.
func (c Clients) Find(ctx context.Context, names []string) (Table, error) {
	inside, err := c.Image.ask(ctx, names)
	if err != nil {
		return nil, advised(err)
	}
	found := make([][]Host, len(names))
	errs := make([]error, len(names))
	var group errgroup.Group
	for i, name := range names {
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			found[i], errs[i] = c.find(ctx, name, inside[name])
			return nil
		})
	}
	_ = group.Wait() // each has its own error
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	table := make(Table, len(names))
	for i, name := range names {
		table[name] = found[i]
	}
	return table, nil
}

func (c Clients) find(ctx context.Context, name string, inside []said) ([]Host, error) {
	search, ok := finders()[name]
	if !ok {
		return nil, hint.With(fmt.Errorf("no preset %q", name), "presets are: "+strings.Join(Names(), ", "))
	}
	hosts, err := besideImage(name, inside, func() ([]Host, error) { return search(c, ctx) })
	if err == nil && len(hosts) == 0 {
		err = errors.New("the client's configuration names no host")
	}
	if err != nil {
		return nil, advised(fmt.Errorf("preset %s: %w", name, err))
	}
	return distinct(hosts), nil
}

func advised(err error) error {
	if hint.Of(err) != "" {
		return err
	}
	return hint.With(err, "mend the client's configuration, or list the hosts in egress.rules in place of the preset")
}

// distinct sorts hosts and drops repetitions; of those that several say, the one
// that stays is the host's.
func distinct(hosts []Host) []Host {
	slices.SortFunc(hosts, func(a, b Host) int { return cmp.Or(compare(a, b), strings.Compare(a.Image, b.Image)) })
	return slices.CompactFunc(hosts, func(a, b Host) bool { return compare(a, b) == 0 })
}

func compare(a, b Host) int {
	if by := strings.Compare(a.Host, b.Host); by != 0 {
		return by
	}
	if by := a.Port - b.Port; by != 0 {
		return by
	}
	return slices.Compare(a.Paths, b.Paths)
}
