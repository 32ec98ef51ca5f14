package docker

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/gofrs/flock"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/failpoint"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/platform"
)

// imageID returns the id of a named image; empty when there is none.
func (e *engine) imageID(ctx context.Context, name string) (string, error) {
	result, err := ask(ctx, "image-inspect", callLimit, func(ctx context.Context) (client.ImageInspectResult, error) {
		return e.ImageInspect(ctx, name)
	})
	if notFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("inspect image %s: %w", name, err)
	}
	return result.ID, nil
}

// findImage returns the id of the image to launch: of the one that a person
// named, else of one that carries the recipe's hash, which is looked for first
// where it was last built. Empty when there is none.
func (e *engine) findImage(ctx context.Context, named, recipe string) (string, error) {
	if named != "" {
		return e.imageID(ctx, named)
	}
	labels := map[string]string{labelRecipe: recipe}
	id, err := e.imageNamed(ctx, defaultImage, labels)
	if id != "" || err != nil {
		return id, err
	}
	return e.imageWith(ctx, labels)
}

// imageNamed returns the id of a named image that was made with these labels;
// empty when there is none. An engine that has many images answers this ten
// times as fast as imageWith.
func (e *engine) imageNamed(ctx context.Context, name string, labels map[string]string) (string, error) {
	result, err := ask(ctx, "image-find", callLimit, func(ctx context.Context) (client.ImageInspectResult, error) {
		return e.ImageInspect(ctx, name)
	})
	if notFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("inspect image %s: %w", name, err)
	}
	for label, value := range labels {
		if result.Config == nil || result.Config.Labels[label] != value {
			return "", nil
		}
	}
	return result.ID, nil
}

// seePipelock looks at the image of a gateway that is not our own.
func (e *engine) seePipelock(ctx context.Context, name string) (pipelockSeen, error) {
	result, err := ask(ctx, "image-find", callLimit, func(ctx context.Context) (client.ImageInspectResult, error) {
		return e.ImageInspect(ctx, name)
	})
	if notFound(err) {
		return pipelockSeen{}, nil
	}
	if err != nil {
		return pipelockSeen{}, fmt.Errorf("inspect image %s: %w", name, err)
	}
	seen := pipelockSeen{ID: result.ID}
	if result.Config != nil {
		seen.Entrypoint = result.Config.Entrypoint
	}
	return seen, nil
}

// imageWith returns the image that was made with these labels; empty when
// there is none. Images made from it inherit its labels and are younger, so
// the oldest is it.
func (e *engine) imageWith(ctx context.Context, labels map[string]string) (string, error) {
	result, err := ask(ctx, "image-list", callLimit, func(ctx context.Context) (client.ImageListResult, error) {
		return e.ImageList(ctx, client.ImageListOptions{Filters: labelFilters(labels)})
	})
	if err != nil {
		return "", fmt.Errorf("list images: %w", err)
	}
	if len(result.Items) == 0 {
		return "", nil
	}
	oldest := slices.MinFunc(result.Items, func(a, b image.Summary) int { return int(a.Created - b.Created) })
	return oldest.ID, nil
}

// ensureImage returns the id of the image to launch, building the recipe's
// when it is missing. Of several launchers of one owner one builds and the
// others wait for it.
func (p *Platform) ensureImage(ctx context.Context, e *engine, plan bottle.Plan) (string, error) {
	part := plan.Docker
	if !part.Build {
		return part.ImageID, nil
	}
	lock := flock.New(filepath.Join(p.config.Store.Root(), "build.lock"))
	if _, err := lock.TryLockContext(ctx, 200*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another build: %w", err)
	}
	defer func() { _ = lock.Close() }()
	id, err := e.imageWith(ctx, map[string]string{labelRecipe: part.Recipe})
	if id != "" || err != nil {
		return id, err
	}
	recipe := recipe{Base: part.BaseImage, Claude: part.ClaudeVersion, Home: plan.Spec.Home, Roots: plan.Spec.Egress.Roots}
	context, err := recipe.context()
	if err != nil {
		return "", err
	}
	args := recipe.args()
	maps.Copy(args, proxyArgs(p.config.Getenv))
	return e.build(ctx, context, buildOptions{
		Name: part.Image, Args: args, Progress: p.progress(),
		Labels: map[string]string{labelRecipe: part.Recipe, labelOwner: part.Owner},
	})
}

// ensureDerived builds the image that CLAUDE_BOTTLE_DERIVED_IMAGE names: the
// base with a copy of the project in its workspace, taken from the run's own
// copy, which holds nothing but files, directories and links.
func (p *Platform) ensureDerived(ctx context.Context, e *engine, plan bottle.Plan, base, work string) (string, error) {
	spec := plan.Spec
	recipe := fmt.Sprintf("FROM %s\nCOPY --chown=%d:%d tree/ %s/\n", base, spec.UID, spec.GID, spec.Workspace)
	reader, writer := io.Pipe()
	go func() {
		writer.CloseWithError(tarTree(writer, recipe, work))
	}()
	defer func() { _ = reader.Close() }() // ends the goroutine when the build ends early
	return e.build(ctx, reader, buildOptions{
		Name: plan.Docker.Derived, Progress: p.progress(),
		// The base's label would make this image pass for the base.
		Labels: map[string]string{labelRecipe: "", labelOwner: plan.Docker.Owner},
	})
}

// tarTree writes a build context: the recipe, and below tree/ what dir holds.
func tarTree(to io.Writer, recipe, dir string) error {
	w := tar.NewWriter(to)
	if err := tarFile(w, "Dockerfile", []byte(recipe), 0o644); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tree/", Mode: 0o755}); err != nil {
		return err
	}
	if err := addTree(w, root, "."); err != nil {
		return err
	}
	return w.Close()
}

type buildOptions struct {
	Name     string
	Args     map[string]string
	Labels   map[string]string
	Progress io.Writer
}

// tailLines is how many lines of a failed build its error shows.
const tailLines = 20

// build runs the engine's classic builder and returns the image's id. There
// is no deadline on the whole: it ends with ctx, or with the engine.
func (e *engine) build(ctx context.Context, content io.Reader, options buildOptions) (string, error) {
	if err := failpoint.Hit("docker.build"); err != nil {
		return "", err
	}
	args := map[string]*string{}
	for name, value := range options.Args {
		args[name] = &value
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	result, err := e.ImageBuild(ctx, content, client.ImageBuildOptions{
		Tags: []string{options.Name}, BuildArgs: args, Labels: options.Labels,
		Remove: true, ForceRemove: true,
	})
	if err != nil {
		return "", fmt.Errorf("build image %s: %w", options.Name, trimDaemon(err))
	}
	defer func() { _ = result.Body.Close() }()
	id, tail, err := readBuild(result.Body, options.Progress)
	if err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		return "", hint.With(fmt.Errorf("build image %s: %w\n%s", options.Name, err, tail),
			"the lines above are the end of the build's output; CLAUDE_BOTTLE_BASE_IMAGE chooses another base, CLAUDE_BOTTLE_IMAGE an image of your own")
	}
	if id == "" {
		return e.imageID(ctx, options.Name)
	}
	return id, nil
}

// readBuild copies a build's output to progress, and returns the image's id,
// or the failure with the output's last lines.
func readBuild(body io.Reader, progress io.Writer) (id, tail string, err error) {
	var last []string
	show := func(text string) {
		text = plain(text)
		_, _ = io.WriteString(progress, text)
		lines := bufio.NewScanner(strings.NewReader(text))
		for lines.Scan() {
			last = append(last, "  "+lines.Text())
		}
		last = last[max(0, len(last)-tailLines):]
	}
	for decoder := json.NewDecoder(body); ; {
		var message struct {
			Stream string
			Status string
			Error  string
			Aux    struct{ ID string }
		}
		err := decoder.Decode(&message)
		switch {
		case errors.Is(err, io.EOF):
			return id, strings.Join(last, "\n"), nil
		case err != nil:
			return "", strings.Join(last, "\n"), fmt.Errorf("read the build's output: %w", err)
		case message.Error != "":
			return "", strings.Join(last, "\n"), errors.New(message.Error)
		case message.Aux.ID != "":
			id = message.Aux.ID
		default:
			show(message.Stream)
		}
	}
}

// escapes are the colours that the engine puts around what a build step writes
// to its standard error, and whatever else a step sends to a terminal.
var escapes = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b.?`) })

// plain is text without anything that a terminal would act on.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\r' {
			return '\n'
		}
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return -1
		}
		return r
	}, escapes().ReplaceAllString(strings.ReplaceAll(text, "\r\n", "\n"), ""))
}

// ensureGatewayImage returns the id of the image that holds nothing but our
// binary. Each owner has one of its own: it goes when that owner prunes.
func (p *Platform) ensureGatewayImage(ctx context.Context, e *engine, program platform.Program) (string, error) {
	name := gatewayImage + ":" + program.Hash[:12] + "-" + p.owner
	id, err := e.imageNamed(ctx, name, map[string]string{labelBinary: program.Hash, labelOwner: p.owner})
	if id != "" || err != nil {
		return id, err
	}
	data, err := os.ReadFile(program.Gateway)
	if err != nil {
		return "", fmt.Errorf("read our own binary: %w", err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := tarFile(w, "claude-bottle", data, 0o755); err != nil {
		return "", err
	}
	// The engine mounts over these and cannot make them in a read-only root.
	for _, dir := range []string{"record/", "etc/", "proc/", "sys/", "dev/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}); err != nil {
			return "", err
		}
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	// An engine that keeps images in containerd takes a name away for a moment
	// when another launch imports the same one.
	for range 5 {
		id, err = e.importImage(ctx, bytes.NewReader(layer.Bytes()), name, []string{
			"LABEL " + labelBinary + "=" + program.Hash + " " + labelOwner + "=" + p.owner,
			`ENTRYPOINT ["/claude-bottle","gateway","run"]`,
		})
		if id != "" || err != nil {
			return id, err
		}
	}
	return "", fmt.Errorf("import image %s: the engine does not have it afterwards", name)
}

// gatewayImage is the repository of gateway images.
const gatewayImage = "claude-bottle-gateway"

// importImage makes an image of one layer. The id is empty when the engine does
// not have it any more.
func (e *engine) importImage(ctx context.Context, layer io.Reader, name string, changes []string) (string, error) {
	_, err := ask(ctx, "image-import", startLimit, func(ctx context.Context) (struct{}, error) {
		result, err := e.ImageImport(ctx, client.ImageImportSource{Source: layer, SourceName: "-"}, name,
			client.ImageImportOptions{Changes: changes})
		if err != nil {
			return struct{}{}, err
		}
		defer func() { _ = result.Close() }()
		_, _, err = readBuild(result, io.Discard)
		return struct{}{}, err
	})
	if err != nil {
		return "", fmt.Errorf("import image %s: %w", name, err)
	}
	return e.imageID(ctx, name)
}

// brought is what an image brings to a container by itself.
type brought struct {
	env     []string // NAME=value
	volumes []string // directories that the engine keeps beside the layer
}

func (e *engine) broughtBy(ctx context.Context, id string) (brought, error) {
	result, err := ask(ctx, "image-inspect", callLimit, func(ctx context.Context) (client.ImageInspectResult, error) {
		return e.ImageInspect(ctx, id)
	})
	if err != nil {
		return brought{}, fmt.Errorf("inspect image %s: %w", id, err)
	}
	if result.Config == nil {
		return brought{}, nil
	}
	return brought{result.Config.Env, slices.Sorted(maps.Keys(result.Config.Volumes))}, nil
}
