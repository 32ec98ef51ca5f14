package engine

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/client"
)

// BaseImage is what the product's recipe starts from. It cannot be pulled
// everywhere, so that a stand-in of the same layout is made: Debian with
// Node.js and npm below /usr/local and a user node with uid 1000.
const BaseImage = "node:22-slim"

// What the stand-in is made of. baseLabel carries the hash of all of it.
const (
	suite       = "trixie"
	nodeVersion = "22"
	npmVersion  = "10"
	baseLabel   = "claude-bottle.test.base"
)

// ExtraRoots are the files of the roots that this machine trusts beside the
// usual ones, where Debian keeps them. Package clients in containers need
// them too.
func ExtraRoots() ([]string, error) {
	return filepath.Glob("/usr/local/share/ca-certificates/*.crt")
}

// baseRecipe gets the rest of what it is made from as files of its context.
const baseRecipe = `FROM scratch AS parts
ADD node.tgz /node/
ADD npm.tgz /npm/

FROM scratch
ADD rootfs.tar /
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 --shell /bin/bash node
COPY roots/ /usr/local/share/ca-certificates/
RUN update-ca-certificates
COPY --from=parts /node/package/bin/node /usr/local/bin/node
COPY --from=parts /npm/package /usr/local/lib/node_modules/npm
RUN chmod 755 /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/*.js \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js /usr/local/bin/npx
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
CMD ["node"]
`

// Base sees to it that the engine has BaseImage. Somebody else's engine pulls
// it; ours, and one that cannot, gets a stand-in made here, which is made again
// when what it is made from changes. Somebody else's image of that name is left
// alone.
func (e *Engine) Base(ctx context.Context) error {
	roots, err := ExtraRoots()
	if err != nil {
		return err
	}
	key, err := baseKey(roots)
	if err != nil {
		return err
	}
	image, err := e.api.ImageInspect(ctx, BaseImage)
	switch {
	case err == nil && image.Config != nil:
		if made, ok := image.Config.Labels[baseLabel]; !ok || made == key {
			return nil
		}
	case err != nil && !errdefs.IsNotFound(err):
		return fmt.Errorf("look for %s: %w", BaseImage, err)
	case err != nil && e.daemon == nil:
		if err := e.pull(ctx); err == nil {
			return nil
		}
		fmt.Fprintf(e.log, "engine: %s cannot be pulled; `docker rmi %s` removes the one that is made now\n", BaseImage, BaseImage)
	}
	fmt.Fprintf(e.log, "engine: making %s\n", BaseImage)
	parts := map[string]string{}
	for _, path := range roots {
		parts["roots/"+filepath.Base(path)] = path
	}
	if parts["rootfs.tar"], err = e.rootfs(ctx); err != nil {
		return err
	}
	if err := e.node(ctx, parts); err != nil {
		return err
	}
	return e.build(ctx, parts, key)
}

func (e *Engine) pull(ctx context.Context) error {
	fmt.Fprintf(e.log, "engine: pulling %s\n", BaseImage)
	response, err := e.api.ImagePull(ctx, BaseImage, client.ImagePullOptions{})
	if err == nil {
		err = errors.Join(response.Wait(ctx), response.Close())
	}
	if err != nil {
		fmt.Fprintf(e.log, "engine: %v\n", err)
	}
	return err
}

func baseKey(roots []string) (string, error) {
	hash := sha256.New()
	fmt.Fprint(hash, suite, nodeVersion, npmVersion, runtime.GOARCH, baseRecipe)
	for _, path := range roots {
		data, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read an extra root: %w", err)
		}
		hash.Write(data)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// rootfs is a minimal Debian as a tar file in the cache (under a minute).
func (e *Engine) rootfs(ctx context.Context) (string, error) {
	path := filepath.Join(e.cache, "debian-"+suite+"-"+runtime.GOARCH+".tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if os.Geteuid() != 0 {
		return "", fmt.Errorf("only root can make %s: pull it, or run this as root", BaseImage)
	}
	if err := Install(ctx, e.log, map[string]string{"debootstrap": "debootstrap"}); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(e.cache, "debian-")
	if err != nil {
		return "", fmt.Errorf("make a directory: %w", err)
	}
	part := path + ".part"
	err = errors.Join(
		run(ctx, e.log, "", nil, "debootstrap", "--variant=minbase", suite, dir),
		run(ctx, e.log, dir, nil, "tar", "--exclude=./var/cache/apt/archives/*.deb", "--exclude=./dev/*", "--exclude=./var/lib/apt/lists/*_*", "-cf", part, "."),
		unmountBelow(dir), os.RemoveAll(dir))
	if err != nil {
		return "", err
	}
	return path, os.Rename(part, path)
}

// node adds Node.js and npm, as npm's own packages, to the parts.
func (e *Engine) node(ctx context.Context, parts map[string]string) error {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if arch == "" {
		return fmt.Errorf("no Node.js package for %s: pull %s", runtime.GOARCH, BaseImage)
	}
	for part, spec := range map[string]string{
		"node.tgz": "node-linux-" + arch + "@" + nodeVersion,
		"npm.tgz":  "npm@" + npmVersion,
	} {
		dir := filepath.Join(e.cache, "pack-"+spec)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("make a directory: %w", err)
		}
		found, err := filepath.Glob(dir + "/*.tgz")
		if err != nil {
			return err
		}
		if len(found) == 0 {
			if err := run(ctx, e.log, dir, nil, "npm", "pack", spec); err != nil {
				return err
			}
			if found, err = filepath.Glob(dir + "/*.tgz"); err != nil {
				return err
			}
		}
		if len(found) != 1 {
			return fmt.Errorf("npm pack %s left %d files in %s", spec, len(found), dir)
		}
		parts[part] = found[0]
	}
	return nil
}

// build sends the parts, files by their name in the context, to the engine.
func (e *Engine) build(ctx context.Context, parts map[string]string, key string) error {
	reader, writer := io.Pipe()
	go func() { writer.CloseWithError(writeContext(writer, parts)) }()
	defer reader.Close() // ends the writer
	result, err := e.api.ImageBuild(ctx, reader, client.ImageBuildOptions{
		Tags: []string{BaseImage}, Labels: map[string]string{baseLabel: key}, Remove: true, ForceRemove: true,
	})
	if err != nil {
		return fmt.Errorf("build %s: %w", BaseImage, err)
	}
	defer result.Body.Close()
	var output strings.Builder
	for decoder := json.NewDecoder(result.Body); ; {
		var message struct{ Stream, Error string }
		if err := decoder.Decode(&message); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("build %s: %w", BaseImage, err)
		}
		output.WriteString(message.Stream)
		if message.Error != "" {
			return fmt.Errorf("build %s: %s\n%s", BaseImage, message.Error, output.String())
		}
	}
}

func writeContext(w io.Writer, parts map[string]string) error {
	archive := tar.NewWriter(w)
	header := &tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(baseRecipe))}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.WriteString(archive, baseRecipe); err != nil {
		return err
	}
	if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "roots/", Mode: 0o755}); err != nil {
		return err
	}
	for name, path := range parts {
		if err := writeFile(archive, name, path); err != nil {
			return err
		}
	}
	return archive.Close()
}

func writeFile(archive *tar.Writer, name, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	// Without the time of the file the engine's build cache hits.
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: info.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
