package docker

import (
	"archive/tar"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/preset"
	"claude-bottle/internal/runs"
)

// Image is the image that bottles come from, for what its package clients are
// configured for: the one that a person named, else that of the recipe, of which
// roots are a part. It has no ID where it is not there yet.
func (p *Platform) Image(ctx context.Context, roots string) (preset.Image, error) {
	e, err := p.engine(ctx)
	if err != nil {
		return preset.Image{}, err
	}
	home := p.config.Getenv("CLAUDE_BOTTLE_CONTAINER_HOME")
	if home == "" {
		home = bottle.DefaultHome
	}
	home = path.Clean(home)
	settings := readSettings(p.config.Getenv)
	id, err := e.findImage(ctx, settings.Image, recipeOf(settings, home, roots).Hash())
	if id == "" || err != nil {
		return preset.Image{}, err
	}
	brings, err := e.broughtBy(ctx, id)
	if err != nil {
		return preset.Image{}, err
	}
	image := preset.Image{
		ID: id, Variables: make(map[string]string, len(brings.env)), Hidden: []string{home, bottle.Workspace},
		Open: func(ctx context.Context) (preset.Files, func() error, error) {
			return p.openImage(ctx, e, id, brings.volumes)
		},
	}
	for _, setting := range brings.env {
		name, value, _ := strings.Cut(setting, "=")
		image.Variables[name] = value
	}
	if digest := strings.TrimPrefix(id, "sha256:"); isDigest(digest) {
		image.Kept = filepath.Join(p.config.Store.Root(), imagesDir, digest+".json")
	}
	return image, nil
}

// imagesDir is where in the state directory it is kept what images say.
const imagesDir = "images"

func isDigest(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 32
}

// What is read of an image is bounded, whatever is in it.
const (
	maxListed   = 8 << 20 // bytes of a directory that is looked into
	maxNames    = 256     // in a directory
	maxVolumes  = 64      // that the image declares
	removeLimit = 30 * time.Second
)

// imageFiles are files of an image, read out of a container of it that is never
// started: no program of the image runs, and nothing changes beneath the engine
// while it looks (which its own copying was attacked by, CVE-2018-15664).
// Links are followed by the engine, in the image alone.
type imageFiles struct {
	*engine
	container string
}

// openImage makes that container, as part of a run that has nothing else: what a
// crash leaves is in a ledger, and the next command removes it. What it returns
// last removes both.
func (p *Platform) openImage(ctx context.Context, e *engine, image string, volumes []string) (preset.Files, func() error, error) {
	if len(volumes) > maxVolumes {
		return nil, nil, fmt.Errorf("the image declares more than %d volumes", maxVolumes)
	}
	info, err := e.info(ctx)
	if err != nil {
		return nil, nil, err
	}
	id := p.config.Store.Propose()
	name := "claude-bottle.image." + string(id)
	run, err := p.config.Store.Create(runs.Info{
		ID: id, Name: name, Platform: Name, Place: runs.Place{Endpoint: e.endpoint.Host, Engine: identity(info)},
	}, runs.Resource{Kind: kindContainer, Name: name})
	if err != nil {
		return nil, nil, err
	}
	files := &imageFiles{engine: e}
	files.container, err = e.createContainer(ctx, "image-open", shelfOptions(name, image, p.owner, id, volumes))
	end := func() error {
		if err := failpoint.Hit("docker.image-close"); err != nil {
			return errors.Join(err, run.Release())
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeLimit)
		defer cancel()
		if files.container == "" && e.lost.Load() {
			return run.Release() // it may come to be; the next command looks
		}
		if files.container != "" {
			if err := e.removeContainer(ctx, files.container); err != nil {
				return errors.Join(err, run.Release())
			}
		}
		return run.Discard()
	}
	if err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return files, end, nil
}

// shelfOptions describe a container that only holds an image's files. The
// engine makes and fills each volume that the image declares unless something
// else is mounted there.
func shelfOptions(name, image, owner string, run runs.ID, volumes []string) client.ContainerCreateOptions {
	host := &container.HostConfig{NetworkMode: "none", ReadonlyRootfs: true}
	for _, volume := range volumes {
		host.Mounts = append(host.Mounts, mount.Mount{Type: mount.TypeTmpfs, Target: volume})
	}
	harden(host)
	return client.ContainerCreateOptions{
		Name: name, HostConfig: host,
		Config: &container.Config{
			Image:       image,
			Labels:      map[string]string{labelOwner: owner, labelRun: string(run), labelRole: roleImage},
			Entrypoint:  []string{insideBinary + "-is-never-started"}, // nothing of the image's
			Healthcheck: &container.HealthConfig{Test: []string{"NONE"}},
		},
	}
}

// Read returns the text of a file.
func (f *imageFiles) Read(ctx context.Context, name string) (text string, found bool, err error) {
	err = f.archived(ctx, name, func(stat container.PathStat, archive *tar.Reader) error {
		found = true
		if !stat.Mode.IsRegular() {
			return errors.New("not a file")
		}
		header, err := archive.Next()
		if err != nil {
			return err
		}
		if header.Typeflag != tar.TypeReg {
			return errors.New("not a file")
		}
		if header.Size > preset.MaxFile {
			return fmt.Errorf("longer than %d KiB", preset.MaxFile>>10)
		}
		data, err := io.ReadAll(io.LimitReader(archive, preset.MaxFile))
		text = string(data)
		return err
	})
	return text, found, err
}

// List returns the names of files and links in a directory.
func (f *imageFiles) List(ctx context.Context, dir string) (names []string, err error) {
	err = f.archived(ctx, dir, func(stat container.PathStat, archive *tar.Reader) error {
		if !stat.Mode.IsDir() {
			return errors.New("not a directory")
		}
		for entries := 0; ; entries++ {
			header, err := archive.Next()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			if entries > maxNames {
				return fmt.Errorf("more than %d names", maxNames)
			}
			_, name, _ := strings.Cut(path.Clean(header.Name), "/")
			file := header.Typeflag == tar.TypeReg || header.Typeflag == tar.TypeLink || header.Typeflag == tar.TypeSymlink
			if file && name != "" && !strings.Contains(name, "/") {
				names = append(names, name)
			}
		}
	})
	slices.Sort(names)
	return names, err
}

// archived has the engine pack what is at a path, or where a link there leads
// to, and reads it. Of nothing, nothing is read.
func (f *imageFiles) archived(ctx context.Context, name string, read func(container.PathStat, *tar.Reader) error) error {
	at := name
	for range 2 {
		target, err := ask(ctx, "image-read", callLimit, func(ctx context.Context) (target string, err error) {
			result, err := f.CopyFromContainer(ctx, f.container, client.CopyFromContainerOptions{SourcePath: at})
			if notFound(err) {
				return "", nil
			}
			if err != nil {
				return "", err
			}
			defer func() { _ = result.Content.Close() }()
			if result.Stat.Mode&fs.ModeSymlink != 0 {
				return result.Stat.LinkTarget, nil // as the engine resolved it, in the image
			}
			bounded := &io.LimitedReader{R: result.Content, N: maxListed}
			err = read(result.Stat, tar.NewReader(bounded))
			if err != nil && bounded.N == 0 {
				err = fmt.Errorf("more than %d MiB", maxListed>>20)
			}
			return "", err
		})
		if err != nil {
			return fmt.Errorf("read %.200q of the image: %w", name, err)
		}
		if target == "" {
			return nil
		}
		at = target
	}
	return fmt.Errorf("read %.200q of the image: a link that leads to another without end", name)
}
