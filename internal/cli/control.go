package cli

import (
	"context"
	"errors"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// controlled is a running bottle whose gateway a person speaks to.
type controlled struct {
	info     runs.Info
	platform bottle.Platform
	bottle   bottle.Bottle
}

// controlled opens a running bottle; an empty name is the only one that runs.
func (a *App) controlled(ctx context.Context, name string) (controlled, error) {
	if name == "" {
		var err error
		if name, err = a.onlyRunning(); err != nil {
			return controlled{}, err
		}
	}
	h, info, err := a.find(ctx, name)
	if err != nil {
		return controlled{}, err
	}
	if info.State != runs.Running {
		return controlled{}, hint.With(fmt.Errorf("run %s is %s, not running", info.ID, info.State), "claude-bottle ps lists those that are")
	}
	platform, err := h.platformOf(info)
	if err != nil {
		return controlled{}, err
	}
	// The bottle is not closed: that would end it.
	b, err := platform.Open(ctx, info.ID)
	return controlled{info, platform, b}, err
}

// moveTo makes a run's own directory the working directory for what is read and
// saved of manifests: a second terminal may be anywhere, also where another
// project has a bottle of that name.
func (a *App) moveTo(info runs.Info) {
	if info.Dir != "" {
		a.Dir = func() (string, error) { return info.Dir, nil }
	}
}

// onlyRunning is the run that is meant when none is named.
func (a *App) onlyRunning() (string, error) {
	store, err := a.store()
	if err != nil {
		return "", err
	}
	infos, err := store.List()
	if err != nil {
		return "", err
	}
	var found []string
	for _, info := range infos {
		if running(info) {
			found = append(found, string(info.ID))
		}
	}
	switch len(found) {
	case 0:
		return "", hint.With(errors.New("no bottle is running"), "claude-bottle start AGENT")
	case 1:
		return found[0], nil
	}
	return "", withCode(exitUsage, hint.With(fmt.Errorf("%d bottles are running", len(found)), "name one of "+strings.Join(found, ", ")))
}

// conversation opens one with the bottle's gateway.
func (c controlled) conversation(ctx context.Context) (*wire.ControlClient, error) {
	stream, err := c.bottle.Control(ctx)
	if err != nil {
		return nil, err
	}
	return wire.NewControlClient(stream), nil
}

// who is the person, for the record.
func (a *App) who() string {
	if name := a.Getenv("SUDO_USER"); name != "" && a.UID == 0 {
		return name
	}
	if known, err := user.LookupId(strconv.Itoa(a.UID)); err == nil {
		return known.Username
	}
	return "uid " + strconv.Itoa(a.UID)
}
