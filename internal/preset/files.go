package preset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Files are where configuration is read from: this machine, or an image. Paths
// are absolute.
type Files interface {
	// Read returns a file's text, and whether there is one.
	Read(ctx context.Context, path string) (text string, found bool, err error)
	// List returns the names in a directory, sorted. One that is not there has
	// none.
	List(ctx context.Context, dir string) ([]string, error)
}

// files are those that the clients are configured by.
func (c Clients) files() Files {
	if c.from != nil {
		return c.from
	}
	return machine{}
}

// read is the text of a file; one that is not there is empty.
func (c Clients) read(ctx context.Context, path string) (string, error) {
	text, _, err := c.files().Read(ctx, path)
	return text, err
}

// machine is this one.
type machine struct{}

func (machine) Read(_ context.Context, path string) (string, bool, error) {
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", false, fmt.Errorf("%s is not a file", path)
	}
	data, err := io.ReadAll(io.LimitReader(file, MaxFile+1))
	if err != nil {
		return "", false, err
	}
	if len(data) > MaxFile {
		return "", false, fmt.Errorf("%s is longer than %d KiB", path, MaxFile>>10)
	}
	return string(data), true, nil
}

func (machine) List(_ context.Context, dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	names := make([]string, len(entries))
	for i, entry := range entries {
		names[i] = entry.Name()
	}
	return names, err
}

// visible are an image's files without those below directories that bottles
// have something else at.
type visible struct {
	Files
	hidden []string
}

func (v visible) Read(ctx context.Context, path string) (string, bool, error) {
	if v.hides(path) {
		return "", false, nil
	}
	return v.Files.Read(ctx, path)
}

func (v visible) List(ctx context.Context, dir string) ([]string, error) {
	if v.hides(dir) {
		return nil, nil
	}
	return v.Files.List(ctx, dir)
}

func (v visible) hides(path string) bool {
	return slices.ContainsFunc(v.hidden, func(dir string) bool {
		rel, err := filepath.Rel(dir, path)
		return err == nil && filepath.IsLocal(rel)
	})
}
