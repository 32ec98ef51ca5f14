package docker

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/doctor"
	"claude-bottle/internal/hint"
)

// Examine looks at the engine that launches would use. It makes nothing, and
// what is wrong is in what it returns.
func (p *Platform) Examine(ctx context.Context, needs doctor.Needs) doctor.Engine {
	e, err := p.engine(ctx)
	if err != nil {
		return problem(err)
	}
	seen := doctor.Engine{Endpoint: e.endpoint.Host, From: e.endpoint.From, API: e.apiVersion, Packages: packages()}
	group, together := errgroup.WithContext(ctx)
	group.Go(func() error { return e.examineInfo(together, &seen) })
	group.Go(func() error { return e.examineVersion(together, &seen) })
	group.Go(func() (err error) {
		seen.Images, err = e.examineImages(together, readSettings(p.config.Getenv), needs)
		return err
	})
	if err := group.Wait(); err != nil {
		return problem(fmt.Errorf("engine %s: %w", e.endpoint.Host, err))
	}
	return seen
}

func problem(err error) doctor.Engine {
	return doctor.Engine{Problem: err.Error(), Hint: hint.Of(err)}
}

func (e *engine) examineInfo(ctx context.Context, seen *doctor.Engine) error {
	began := time.Now()
	result, err := ask(ctx, "info", callLimit, func(ctx context.Context) (client.SystemInfoResult, error) {
		return e.Info(ctx, client.InfoOptions{})
	})
	if err != nil {
		return err
	}
	info := result.Info
	seen.SkewWithin = time.Since(began) / 2
	// An engine that does not say its time is not judged by it.
	if told, err := time.Parse(time.RFC3339Nano, info.SystemTime); err == nil {
		seen.Skew = told.Sub(began.Add(seen.SkewWithin))
	}
	seen.Version, seen.Kernel, seen.System = info.ServerVersion, info.KernelVersion, info.OperatingSystem
	seen.Security, seen.AuthPlugins = info.SecurityOptions, info.Plugins.Authorization
	seen.Cgroups, seen.DefaultRuntime = info.CgroupVersion, info.DefaultRuntime
	seen.Lacks = lacks(info)
	runtimes := observed{DefaultRuntime: info.DefaultRuntime, Runtimes: map[string][]string{}}
	for name := range info.Runtimes {
		runtimes.Runtimes[name] = nil
	}
	if runtime, err := chooseRuntime(bottle.Auto, runtimes); err == nil && !slices.Contains(sharesKernel, runtime) {
		seen.Networked = runtime
	}
	seen.Runtimes = map[string][]string{}
	for name, runtime := range info.Runtimes {
		seen.Runtimes[name] = runtime.Args
	}
	return nil
}

func (e *engine) examineVersion(ctx context.Context, seen *doctor.Engine) error {
	result, err := ask(ctx, "version", callLimit, func(ctx context.Context) (client.ServerVersionResult, error) {
		return e.ServerVersion(ctx, client.ServerVersionOptions{})
	})
	if err != nil {
		return err
	}
	for _, component := range result.Components {
		seen.Components = append(seen.Components, doctor.Component{
			Name: component.Name, Version: component.Version, Build: component.Details["GitCommit"],
		})
	}
	// "Docker Desktop 4.49.0 (208003)"
	if version, is := strings.CutPrefix(result.Platform.Name, doctor.ComponentDesktop+" "); is {
		version, _, _ = strings.Cut(version, " ")
		seen.Components = append(seen.Components, doctor.Component{Name: doctor.ComponentDesktop, Version: version})
	}
	return nil
}

func (e *engine) examineImages(ctx context.Context, settings settings, needs doctor.Needs) ([]doctor.Image, error) {
	if name := settings.Image; name != "" {
		id, err := e.imageID(ctx, name)
		return []doctor.Image{{Name: name, Override: "CLAUDE_BOTTLE_IMAGE", Present: id != ""}}, err
	}
	any, err := ask(ctx, "image-list", callLimit, func(ctx context.Context) (client.ImageListResult, error) {
		return e.ImageList(ctx, client.ImageListOptions{Filters: client.Filters{}.Add("label", labelRecipe)})
	})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	built := map[string]bool{}
	for _, image := range any.Items {
		if recipe := image.Labels[labelRecipe]; recipe != "" { // derived images have it empty
			built[recipe] = true
		}
	}
	var images []doctor.Image
	for roots, agents := range needs.Roots {
		recipe := recipeOf(settings, needs.Home, roots).Hash()
		images = append(images, doctor.Image{
			Name: defaultImage, For: agents, Present: built[recipe], Older: len(built) > 0 && !built[recipe],
		})
	}
	slices.SortFunc(images, func(a, b doctor.Image) int { return slices.Compare(a.For, b.For) })
	return images, nil
}

// packages is the host's package manager, where the engine's packages would
// come from.
func packages() string {
	for _, name := range []string{"apt-get", "dnf"} {
		if _, err := exec.LookPath(name); err == nil {
			return name
		}
	}
	return ""
}
