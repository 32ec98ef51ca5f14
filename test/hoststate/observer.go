package hoststate

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// Options say what is ours.
type Options struct {
	// Owner is the value of our objects' label claude-bottle.owner.
	Owner string
	// Marks are texts that nobody else's objects, processes or mounts
	// contain: paths, names.
	Marks []string
	// Roots are directories whose files are compared, by path, type and mode.
	Roots []string
	// Alone says that nobody else uses the engine.
	Alone bool
	// Network is the file of the engine's network namespace; empty for the
	// one of this process.
	Network string
	// Dirs are directories of the engine's beside its data root: mounts below
	// them count unless they are known to be somebody else's, and shims that
	// speak to a socket there.
	Dirs []string
}

const ownerLabel = "claude-bottle.owner"

// Observer observes the machine again and again.
type Observer struct {
	Options
	api  *client.Client
	root string // the engine's data root

	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex      // guards what follows
	ours   map[string]bool // ids of containers, networks and volumes that were ever ours
	netns  map[string]bool // directories where the engine keeps network namespaces
	failed error           // of the events
}

// New begins to follow the engine's events; what is made before it, or after
// the engine was gone for a while, is known by its label and marks alone.
func New(ctx context.Context, api *client.Client, options Options) (*Observer, error) {
	info, err := api.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil, fmt.Errorf("ask the engine for its data root: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	o := &Observer{
		Options: options, api: api, root: info.Info.DockerRootDir, stop: stop, done: make(chan struct{}),
		ours: map[string]bool{}, netns: map[string]bool{},
	}
	following := api.Events(ctx, client.EventsListOptions{})
	go func() {
		defer close(o.done)
		o.follow(ctx, following)
	}()
	return o, nil
}

// NewWithout observes a machine without looking at any engine: processes,
// mounts, cgroups and files.
func NewWithout(options Options) *Observer {
	done := make(chan struct{})
	close(done)
	return &Observer{Options: options, stop: func() {}, done: done}
}

// Mark adds to what nobody else's things contain.
func (o *Observer) Mark(marks ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Marks = append(o.Marks, marks...)
}

// Close ends the following of events.
func (o *Observer) Close() {
	o.stop()
	<-o.done
}

func (o *Observer) follow(ctx context.Context, following client.EventsResult) {
	for {
		select {
		case event := <-following.Messages:
			o.learn(ctx, event)
		case err := <-following.Err:
			if ctx.Err() == nil {
				o.mu.Lock()
				o.failed = err
				o.mu.Unlock()
			}
			return
		}
	}
}

// learn notes the id of what is ours: what was created, and volumes, whose
// events name the container that mounts them. A network that something of ours
// is connected to may be everybody's.
func (o *Observer) learn(ctx context.Context, event events.Message) {
	switch {
	case event.Type == events.ContainerEventType, event.Type == events.VolumeEventType:
	case event.Type == events.NetworkEventType && event.Action == events.ActionCreate:
	default:
		return
	}
	text, err := json.Marshal(event.Actor)
	if err != nil || !o.Alone && !o.mentions(string(text)) {
		return
	}
	o.mu.Lock()
	o.ours[event.Actor.ID] = true
	o.mu.Unlock()
	if event.Type == events.ContainerEventType && event.Action == events.ActionStart {
		o.inspect(ctx, event.Actor.ID)
	}
}

// mentions says whether text is about something of ours.
func (o *Observer) mentions(text string) bool {
	if o.Owner != "" && strings.Contains(text, o.Owner) {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.ContainsFunc(o.Marks, func(mark string) bool { return strings.Contains(text, mark) }) {
		return true
	}
	for _, id := range ids.FindAllString(text, -1) {
		if o.ours[id] {
			return true
		}
	}
	return bridgeOf(text, func(short string) bool {
		for id := range o.ours {
			if strings.HasPrefix(id, short) {
				return true
			}
		}
		return false
	})
}

// ids are whole ids of containers and networks.
var ids = regexp.MustCompile(`[0-9a-f]{64}`)

var bridges = regexp.MustCompile(`br-([0-9a-f]{12})\b`)

// bridgeOf says whether text names a network's bridge whose id, of which
// twelve digits are in its name, is.
func bridgeOf(text string, is func(short string) bool) bool {
	for _, match := range bridges.FindAllStringSubmatch(text, -1) {
		if is(match[1]) {
			return true
		}
	}
	return false
}

// Observe looks once.
func (o *Observer) Observe(ctx context.Context) (State, error) {
	o.mu.Lock()
	err := o.failed
	o.mu.Unlock()
	if err != nil && !o.Alone { // alone, everything counts, whatever was told of it
		return nil, fmt.Errorf("follow the engine's events: %w", err)
	}
	var k known
	var state State
	looks := []func(context.Context, known) ([]string, error){o.processes, o.mounts, o.cgroups, o.files}
	if o.api != nil {
		if k, state, err = o.objects(ctx); err != nil {
			return nil, err
		}
		looks = append(looks, o.interfaces, o.rules)
	}
	for _, look := range looks {
		lines, err := look(ctx, k)
		if err != nil {
			return nil, err
		}
		state = append(state, lines...)
	}
	slices.Sort(state)
	return state, nil
}

// Between observations that are compared, and how long a machine may take to
// be still.
const (
	pause = 100 * time.Millisecond
	still = 10 * time.Second
)

// Before observes until two observations in a row are the same; what others
// make and remove meanwhile is not in it.
func (o *Observer) Before(ctx context.Context) (State, error) {
	ctx, cancel := context.WithTimeout(ctx, still)
	defer cancel()
	before, err := o.Observe(ctx)
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(pause)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return before, nil
		}
		now, err := o.Observe(ctx)
		if ctx.Err() != nil {
			return before, nil
		}
		if err != nil || len(diff(before, now)) == 0 {
			return now, err
		}
		before = common(before, now)
	}
}

// Back waits until the machine is as it was before, for at most limit, and
// returns what then still differs, or "". What differs in some observations
// only does not count. Kinds that are named are not compared.
func (o *Observer) Back(ctx context.Context, before State, limit time.Duration, but ...string) (string, error) {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	again := time.NewTicker(pause)
	defer again.Stop()
	before = before.Without(but...)
	var left []string
	for first := true; ; first = false {
		now, err := o.Observe(ctx)
		if err != nil {
			return "", err
		}
		lines := diff(before, now.Without(but...))
		if !first {
			lines = common(left, lines)
		}
		if left = lines; len(left) == 0 {
			return "", nil
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return strings.Join(left, "\n"), nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
