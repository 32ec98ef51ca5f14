package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"

	"claude-bottle/internal/platform"
)

// Prune removes what earlier versions of the owner's program left and nothing
// uses: gateway images, images of the recipe that lost their name to a later one,
// copies of the program in the state directory, what it kept of images that are
// gone, and an egress network without a gateway. It returns all but the last that
// it removed, or, with dry, would have tried to. What is in use is no error.
func (p *Platform) Prune(ctx context.Context, dry bool) ([]string, error) {
	e, err := p.engine(ctx)
	if err != nil {
		return nil, err
	}
	ours, err := platform.FindProgram(p.config.Binary, p.config.Store.Root())
	if err != nil {
		return nil, err
	}
	gateways, failed := e.pruneImages(ctx, p.owned().Add("label", labelBinary), ours.Hash, dry)
	recipes, err := e.pruneImages(ctx, p.owned().Add("label", labelRecipe).Add("dangling", "true"), "", dry)
	programs, err2 := p.prunePrograms(ctx, e, ours.Hash, dry)
	looked, err3 := p.forgetImages(ctx, e, dry)
	removed := slices.Concat(gateways, recipes, programs, looked)
	if err = errors.Join(failed, err, err2, err3); dry {
		return removed, err
	}
	return removed, errors.Join(err, e.removeEgress(ctx, p.owner, ""))
}

// forgetImages removes what is kept of images that the engine has no more. It
// is found anew when it is needed.
func (p *Platform) forgetImages(ctx context.Context, e *engine, dry bool) (removed []string, err error) {
	dir := filepath.Join(p.config.Store.Root(), imagesDir)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		digest := strings.TrimSuffix(entry.Name(), ".json")
		if isDigest(digest) {
			id, failed := e.imageID(ctx, "sha256:"+digest)
			if failed != nil {
				return removed, errors.Join(err, failed)
			}
			if id != "" {
				continue
			}
		}
		path := filepath.Join(dir, entry.Name())
		if !dry {
			err = errors.Join(err, os.Remove(path))
		}
		removed = append(removed, path)
	}
	return removed, err
}

// owned finds what has the owner's label.
func (p *Platform) owned() client.Filters {
	return client.Filters{}.Add("label", labelOwner+"="+p.owner)
}

// pruneImages removes the images that filters find, except those made from
// our binary of hash keep.
func (e *engine) pruneImages(ctx context.Context, filters client.Filters, keep string, dry bool) ([]string, error) {
	result, err := ask(ctx, "image-list", callLimit, func(ctx context.Context) (client.ImageListResult, error) {
		return e.ImageList(ctx, client.ImageListOptions{Filters: filters})
	})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	var removed []string
	for _, image := range result.Items {
		if keep != "" && image.Labels[labelBinary] == keep {
			continue
		}
		if dry {
			removed = append(removed, "image "+image.ID)
			continue
		}
		_, failed := ask(ctx, "image-remove", callLimit, func(ctx context.Context) (client.ImageRemoveResult, error) {
			return e.ImageRemove(ctx, image.ID, client.ImageRemoveOptions{PruneChildren: true})
		})
		switch {
		case failed == nil:
			removed = append(removed, "image "+image.ID)
		case !notFound(failed) && !errdefs.IsConflict(failed):
			err = errors.Join(err, fmt.Errorf("remove image %s: %w", image.ID, failed))
		}
	}
	return removed, err
}

// prunePrograms removes the copies of the program that no container of the
// owner mounts.
func (p *Platform) prunePrograms(ctx context.Context, e *engine, keep string, dry bool) ([]string, error) {
	containers, err := e.containers(ctx, map[string]string{labelOwner: p.owner})
	if err != nil {
		return nil, err
	}
	used := map[string]bool{keep: true}
	for _, container := range containers {
		used[container.Labels[labelBinary]] = true
	}
	return platform.PrunePrograms(p.config.Store.Root(), func(hash string) bool { return used[hash] }, dry)
}
