package hoststate

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/moby/api/types/volume"
	"github.com/moby/moby/client"
)

// known is what the engine knows at the time of an observation: the ids of its
// containers and networks.
type known struct{ containers, networks []string }

func (k known) network(short string) bool {
	for _, id := range k.networks {
		if strings.HasPrefix(id, short) {
			return true
		}
	}
	return false
}

// mine says whether an object counts.
func (o *Observer) mine(id string, object any) bool {
	text, err := json.Marshal(object)
	if o.Alone || err != nil || o.mentions(string(text)) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.ours[id] = true // also when it was made before the events were followed
		return true
	}
	return false
}

// objects are the engine's.
func (o *Observer) objects(ctx context.Context) (known, []string, error) {
	var k known
	var lines []string
	containers, err := o.api.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		return k, nil, fmt.Errorf("list containers: %w", err)
	}
	for _, c := range containers.Items {
		k.containers = append(k.containers, c.ID)
		if o.mine(c.ID, c) {
			lines = append(lines, fmt.Sprintf("container %s %s", strings.Join(c.Names, ","), c.State))
		}
	}
	networks, err := o.api.NetworkList(ctx, client.NetworkListOptions{})
	if err != nil {
		return k, nil, fmt.Errorf("list networks: %w", err)
	}
	for _, n := range networks.Items {
		if n.Name == "bridge" || n.Name == "host" || n.Name == "none" {
			k.networks = append(k.networks, n.ID)
			continue // always there, and everybody's
		}
		k.networks = append(k.networks, n.ID)
		if o.mine(n.ID, n) {
			lines = append(lines, fmt.Sprintf("network %s %s", n.Name, n.ID))
		}
	}
	more, err := o.stored(ctx)
	return k, append(lines, more...), err
}

// stored are volumes and images. Of these the product keeps its own: see
// Kept.
func (o *Observer) stored(ctx context.Context) ([]string, error) {
	var lines []string
	volumes, err := o.api.VolumeList(ctx, client.VolumeListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	for _, v := range volumes.Items {
		if o.mine(v.Name, volume.Volume(v)) {
			lines = append(lines, "volume "+v.Name)
		}
	}
	images, err := o.api.ImageList(ctx, client.ImageListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	for _, i := range images.Items {
		if !o.mine(i.ID, i) {
			continue
		}
		kind := "image"
		if i.Labels[ownerLabel] == o.Owner && len(i.RepoTags) > 0 {
			kind = Kept // with a name and a label it is found and removed later
		}
		lines = append(lines, fmt.Sprintf("%s %s %s", kind, strings.Join(i.RepoTags, ","), i.ID))
	}
	return lines, nil
}

// Kept is the kind of images that the product makes for later launches: the
// gateway's, and that of the recipe.
const Kept = "kept-image"

// inspect learns where the engine mounts what for a container.
func (o *Observer) inspect(ctx context.Context, id string) []string {
	result, err := o.api.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if err != nil {
		return nil
	}
	var places []string
	if driver := result.Container.GraphDriver; driver != nil {
		if merged := driver.Data["MergedDir"]; merged != "" {
			places = append(places, merged)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if settings := result.Container.NetworkSettings; settings != nil && settings.SandboxKey != "" {
		places = append(places, settings.SandboxKey)
		if dir, _, ok := cutLast(settings.SandboxKey); ok {
			o.netns[dir] = true
		}
	}
	return places
}

func cutLast(path string) (dir, base string, ok bool) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", "", false
	}
	return path[:i], path[i+1:], true
}
