package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/moby/moby/client"
)

// Disk is where an engine keeps things: its data root and, of a container that
// runs, what is known of its exec root.
type Disk struct{ Roots []string }

// DiskOf finds the directories of an engine on this machine; container is one
// that runs.
func DiskOf(ctx context.Context, api *client.Client, container string) (Disk, error) {
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Disk{}, err
	}
	inspected, err := api.ContainerInspect(ctx, container, client.ContainerInspectOptions{})
	if err != nil {
		return Disk{}, err
	}
	disk := Disk{Roots: []string{info.Info.DockerRootDir}}
	// EXEC-ROOT/netns/ID
	if settings := inspected.Container.NetworkSettings; settings != nil && settings.SandboxKey != "" {
		disk.Roots = append(disk.Roots, filepath.Dir(filepath.Dir(settings.SandboxKey)))
	}
	if len(disk.Roots) < 2 {
		return Disk{}, fmt.Errorf("the engine does not tell where container %s has its network", container)
	}
	return disk, nil
}

// Holding returns the files that changed since a time and hold text. Others
// use the engine too: what goes away meanwhile is passed over, and what is
// mounted below it is looked at where it is.
func (d Disk) Holding(since time.Time, text string) ([]string, error) {
	var found []string
	for _, root := range d.Roots {
		if _, err := os.ReadDir(root); err != nil {
			return nil, err
		}
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESTALE):
				return nil
			case err != nil:
				return err
			case entry.IsDir() && entry.Name() == "merged":
				return fs.SkipDir // the file system of a container: its layer is beside it
			case !entry.Type().IsRegular():
				return nil
			}
			info, err := entry.Info()
			if err != nil {
				return nil //nolint:nilerr // it is gone
			}
			if changed := time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix()); changed.Before(since.Truncate(time.Second)) {
				return nil
			}
			if holds, err := fileHolds(path, text); err == nil && holds {
				found = append(found, path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

// fileHolds reads a file piece by piece, since some are large.
func fileHolds(path, text string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	want, buf := []byte(text), make([]byte, 1<<20)
	for kept := 0; ; {
		n, err := file.Read(buf[kept:])
		if n == 0 && err != nil {
			if errors.Is(err, io.EOF) {
				err = nil
			}
			return false, err
		}
		if bytes.Contains(buf[:kept+n], want) {
			return true, nil
		}
		// The text may begin at the end of this piece.
		end := kept + n
		kept = min(len(want)-1, end)
		copy(buf, buf[end-kept:end])
	}
}
