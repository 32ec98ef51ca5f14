package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"claude-bottle/internal/platform/docker"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// counters are those that a gateway shows on its control stream.
func (p *person) counters(t *testing.T, run string) string {
	t.Helper()
	control := wire.NewControlClient(p.controlStream(t, run))
	defer control.Close()
	text, err := control.Counters(t.Context())
	if err != nil || text == "" {
		t.Errorf("%q, %v", text, err)
	}
	return text
}

// controlStream is that of a native bottle, by its socket, or of one on an
// engine, by the way that the program itself takes.
func (p *person) controlStream(t *testing.T, run string) io.ReadWriteCloser {
	t.Helper()
	if p.api == nil {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", filepath.Join(p.lastRun(), "control.sock"))
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	store, err := runs.Open(filepath.Join(p.state, "claude-bottle"))
	if err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{}
	for _, variable := range p.env {
		name, value, _ := strings.Cut(variable, "=")
		environment[name] = value
	}
	platform := docker.New(docker.Config{Store: store, Home: p.home, UID: os.Getuid(), Getenv: func(name string) string { return environment[name] }})
	b, err := platform.Open(t.Context(), runs.ID(run))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := b.Control(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// inspected is all that the engine says of the person's objects, and what it has
// kept of what they said and of what was done to them.
func (p *person) inspected(t *testing.T) string {
	t.Helper()
	filters := client.Filters{}.Add("label", "claude-bottle.owner="+p.owner)
	all := &saying{t: t}
	containers, err := p.api.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: filters})
	if err != nil || len(containers.Items) < 2 {
		t.Fatalf("%d containers, %v", len(containers.Items), err)
	}
	for _, c := range containers.Items {
		got, err := p.api.ContainerInspect(t.Context(), c.ID, client.ContainerInspectOptions{Size: true})
		all.raw(got.Raw, err)
		all.value(p.api.ImageInspect(t.Context(), c.ImageID))
		all.value(p.api.ImageHistory(t.Context(), c.ImageID))
		all.value(p.api.ContainerTop(t.Context(), c.ID, client.ContainerTopOptions{}))
		all.value(p.api.ContainerDiff(t.Context(), c.ID, client.ContainerDiffOptions{}))
		all.logs(p.api.ContainerLogs(t.Context(), c.ID, client.ContainerLogsOptions{ShowStdout: true, ShowStderr: true, Details: true}))
		for _, mount := range got.Container.Mounts {
			if mount.Name != "" {
				volume, err := p.api.VolumeInspect(t.Context(), mount.Name, client.VolumeInspectOptions{})
				all.raw(volume.Raw, err)
			}
		}
	}
	networks, err := p.api.NetworkList(t.Context(), client.NetworkListOptions{Filters: filters})
	if err != nil || len(networks.Items) == 0 {
		t.Fatalf("%d networks, %v", len(networks.Items), err)
	}
	for _, n := range networks.Items {
		got, err := p.api.NetworkInspect(t.Context(), n.ID, client.NetworkInspectOptions{Verbose: true})
		all.raw(got.Raw, err)
	}
	all.value(p.api.VolumeList(t.Context(), client.VolumeListOptions{}))
	all.value(p.api.ImageList(t.Context(), client.ImageListOptions{Filters: filters}))
	all.events(p.api.Events(t.Context(), client.EventsListOptions{Since: "0", Until: fmt.Sprint(time.Now().Unix() + 1)}))
	return all.text.String()
}

// saying collects answers of an engine.
type saying struct {
	t    *testing.T
	text strings.Builder
}

func (s *saying) raw(raw []byte, err error) {
	s.t.Helper()
	if err != nil || len(raw) == 0 {
		s.t.Errorf("the engine says %d bytes, %v", len(raw), err)
	}
	s.text.Write(raw)
}

func (s *saying) value(v any, err error) {
	s.t.Helper()
	data, failed := json.Marshal(v)
	if err != nil || failed != nil {
		s.t.Errorf("the engine says %v, %v", err, failed)
	}
	s.text.Write(data)
}

// logs are none where nothing is logged, which is no failure.
func (s *saying) logs(from client.ContainerLogsResult, err error) {
	s.t.Helper()
	if err != nil {
		s.text.WriteString(err.Error())
		return
	}
	defer from.Close()
	_, _ = io.Copy(&s.text, from)
}

func (s *saying) events(result client.EventsResult) {
	s.t.Helper()
	for {
		select {
		case event := <-result.Messages:
			s.value(event, nil)
		case err := <-result.Err:
			if err != nil && !errors.Is(err, io.EOF) {
				s.t.Error(err)
			}
			return
		}
	}
}
