package docker

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/moby/moby/client"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/preset"
	"claude-bottle/internal/runs"
)

// imageFrom makes an image of the tiny one, with more in its root and more lines
// in its recipe, and has bottles come from it.
func (b *bench) imageFrom(t *testing.T, name, recipe string, entries ...*tar.Header) {
	t.Helper()
	var layer, content bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, entry := range entries {
		text := entry.PAXRecords[textRecord]
		if zeros := entry.Size; text == "" && zeros > 0 {
			text = strings.Repeat("\x00", int(zeros))
		}
		entry.PAXRecords, entry.Size = nil, int64(len(text))
		if err := w.WriteHeader(entry); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	w = tar.NewWriter(&content)
	for path, data := range map[string][]byte{
		"Dockerfile": []byte("FROM " + tinyImage + "\nADD layer.tar /\n" + recipe), "layer.tar": layer.Bytes(),
	} {
		if err := tarFile(w, path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	e, err := connectTo(t.Context(), endpoint{Host: b.api.DaemonHost()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = e.Close() }()
	if _, err := e.build(t.Context(), &content, buildOptions{Name: name, Progress: io.Discard}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = b.api.ImageRemove(context.Background(), name, client.ImageRemoveOptions{Force: true, PruneChildren: true})
	})
	b.env["CLAUDE_BOTTLE_IMAGE"] = name
}

const textRecord = "text"

// file is one with a text, zeros one with as many bytes of nothing, and link a
// link of the symbolic kind.
func file(name, text string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, PAXRecords: map[string]string{textRecord: text}}
}

func zeros(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size}
}

func link(name, to string) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to, Mode: 0o777}
}

// TestImageRegistries: what an image sets for the package clients inside, in
// variables and in files, is known before anything is launched, once, and is
// what they see. Files that a bottle has others in the place of say nothing.
func TestImageRegistries(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	p := b.platform(t)
	b.env["CLAUDE_BOTTLE_IMAGE"] = "claude-bottle-test-none:1"
	if image, err := p.Image(t.Context(), ""); err != nil || image.ID != "" {
		t.Errorf("of an image that is not there: %v, %v", image, err)
	}
	b.imageFrom(t, "claude-bottle-test-registries:1", "ENV NPM_CONFIG_REGISTRY=https://npm.image.example/a=b\n",
		file("etc/apt/sources.list.d/a.list", "deb http://me:s3cret@deb.image.example/debian trixie main\n"),
		file("home/node/.config/pip/pip.conf", "[global]\nindex-url = https://no.image.example/simple\n"),
		file("etc/pip.conf", "[global]\nindex-url = https://me:s3cret@pip.image.example/simple\n"),
	)
	find := func() preset.Table {
		image, err := p.Image(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		clients := preset.Clients{Home: t.TempDir(), System: t.TempDir(), Lookup: func(string) (string, bool) { return "", false }, Image: image}
		table, err := clients.Find(t.Context(), []string{"npm", "pypi", "debian"})
		if err != nil {
			t.Fatal(err)
		}
		b.noRuns(t)
		return table
	}
	table := find()
	for name, want := range map[string]preset.Host{
		"npm":    {Host: "npm.image.example", Port: 443, Open: true, Image: "NPM_CONFIG_REGISTRY"},
		"pypi":   {Host: "pip.image.example", Port: 443, Open: true, Image: "/etc/pip.conf"},
		"debian": {Host: "deb.image.example", Port: 80, Image: "/etc/apt/sources.list.d/a.list"},
	} {
		got := table[name]
		if len(got) != 1 || got[0].Host != want.Host || got[0].Port != want.Port || got[0].Open != want.Open || got[0].Image != want.Image {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	keptIn := filepath.Join(b.store.Root(), imagesDir)
	kept, err := filepath.Glob(filepath.Join(keptIn, "*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	if data, err := os.ReadFile(kept[0]); err != nil || bytes.Contains(data, []byte("s3cret")) {
		t.Errorf("kept %s, %v", data, err)
	}
	created := b.created(t, find)
	if len(created) > 0 {
		t.Errorf("the second time containers were made: %q", created)
	}
	spec := b.spec()
	spec.Isolation = bottle.Runc
	if got := sh(t, b.launch(t, spec), "echo $NPM_CONFIG_REGISTRY; cat /etc/apt/sources.list.d/a.list; ls -A /home/node"); !strings.HasPrefix(got,
		"https://npm.image.example/a=b\ndeb http://me:s3cret@deb.image.example/") || strings.Contains(got, ".config") {
		t.Errorf("inside: %q", got)
	}
	old := filepath.Join(keptIn, strings.Repeat("0", 64)+".json")
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		if removed, err := p.Prune(t.Context(), dry); err != nil || !slices.Contains(removed, old) || slices.Contains(removed, kept[0]) {
			t.Errorf("removed %q, %v", removed, err)
		}
	}
	if left, err := filepath.Glob(filepath.Join(keptIn, "*")); err != nil || !slices.Equal(left, kept) {
		t.Errorf("cleanup left %q, %v", left, err)
	}
}

// created are the names of containers that the engine made during an act.
func (b *bench) created(t *testing.T, act func() preset.Table) []string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	events := b.api.Events(ctx, client.EventsListOptions{Filters: client.Filters{}.Add("type", "container").Add("event", "create")})
	act()
	// An event of our own says that all before it were seen.
	made, err := b.api.ContainerCreate(t.Context(), shelfOptions("", tinyImage, "nobody", "", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_, _ = b.api.ContainerRemove(context.Background(), made.ID, client.ContainerRemoveOptions{Force: true})
	}()
	var names []string
	for {
		select {
		case event := <-events.Messages:
			if event.Actor.ID == made.ID {
				return names
			}
			names = append(names, event.Actor.Attributes["name"])
		case err := <-events.Err:
			t.Fatal(err)
		}
	}
}

// TestHostileImage: what an image has in the place of configuration leads
// nowhere out of it, is bounded, and none of its programs runs.
func TestHostileImage(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	onHost := filepath.Join(t.TempDir(), "on-host")
	if err := os.WriteFile(onHost, []byte("of the host"), 0o644); err != nil {
		t.Fatal(err)
	}
	entries := []*tar.Header{
		file("l/file", "inside\n"), link("l/near", "file"), link("l/up", "../../../../../l/file"), link("l/twice", "/l/near"),
		link("l/root", "/"), link("l/host", onHost), link("l/hostup", "../../../../../../.."+onHost), link("l/proc", "/proc/1/root/etc/passwd"),
		link("l/loop", "loop"), link("l/a", "b"), link("l/b", "a"), link("l/dir", "/l/names"), link("l/tozero", "zero"),
		{Typeflag: tar.TypeFifo, Name: "l/pipe", Mode: 0o644},
		{Typeflag: tar.TypeBlock, Name: "l/disk", Mode: 0o644, Devmajor: 8},
		{Typeflag: tar.TypeChar, Name: "l/zero", Mode: 0o644, Devmajor: 1, Devminor: 5},
		zeros("l/long", preset.MaxFile+1), zeros("l/whole", preset.MaxFile), zeros("l/big/one", maxListed),
		file("l/names/a.list", "x"), link("l/names/b.list", "a.list"), file("l/names/c.list/deep", "y"),
		{Typeflag: tar.TypeFifo, Name: "l/names/d.list", Mode: 0o644},
		{Typeflag: tar.TypeLink, Name: "l/names/e.list", Linkname: "l/names/a.list"},
	}
	for i := range maxNames + 1 {
		entries = append(entries, file("l/many/"+strconv.Itoa(i), "x"))
	}
	b.imageFrom(t, "claude-bottle-test-hostile:1", "VOLUME /etc/apt\nVOLUME /l/v\nENTRYPOINT [\"/bin/sh\", \"-c\", \"echo ran > /l/v/ran\"]\n", entries...)
	p := b.platform(t)
	image, err := p.Image(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	files, end, err := image.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	id := files.(*imageFiles).container
	for path, want := range map[string]string{
		"/l/file": "inside\n", "/l/near": "inside\n", "/l/up": "inside\n", "/l/twice": "inside\n", "/l/root/l/file": "inside\n",
		"/l/host": "", "/l/hostup": "", "/l/proc": "", "/l/none": "", "/none/none": "", "/l/root" + onHost: "",
		"/l/whole": strings.Repeat("\x00", preset.MaxFile),
		"/l/long":  "error longer than", "/l/pipe": "error not a file", "/l/disk": "error not a file", "/l/zero": "error not a file",
		"/l/tozero": "error not a file", "/l/many": "error not a file", "/l/dir": "error not a file",
		"/l/loop": "error", "/l/a": "error",
	} {
		text, found, err := files.Read(t.Context(), path)
		if part, fails := strings.CutPrefix(want, "error"); fails {
			if err == nil || !strings.Contains(err.Error(), strings.TrimSpace(part)) {
				t.Errorf("%s: %.100q, error %v, want %s", path, text, err, want)
			}
			continue
		}
		if err != nil || text != want || found != (want != "") {
			t.Errorf("%s: %.100q, %v, %v, want %.100q", path, text, found, err, want)
		}
	}
	for dir, want := range map[string]string{
		"/l/names": "a.list b.list e.list", "/l/dir": "a.list b.list e.list", "/none": "",
		"/l/many": "error more than 256 names", "/l/big": "error more than 8 MiB", "/l/file": "error not a directory", "/l/zero": "error not a directory",
		"/": "error more than",
	} {
		names, err := files.List(t.Context(), dir)
		if part, fails := strings.CutPrefix(want, "error "); fails {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %q, error %v, want %s", dir, names, err, want)
			}
			continue
		}
		if err != nil || strings.Join(names, " ") != want {
			t.Errorf("%s: %q, %v, want %q", dir, names, err, want)
		}
	}
	inspected, err := b.api.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if state := inspected.Container.State; state.Status != "created" || !strings.HasPrefix(state.StartedAt, "0001") {
		t.Errorf("it was started: %+v", state)
	}
	for _, mount := range inspected.Container.Mounts {
		if mount.Type != "tmpfs" {
			t.Errorf("a volume of the image's was made: %+v", mount)
		}
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	b.noRuns(t)
}

// holdVariable names the state directory of a process that dies while it reads
// an image.
const holdVariable = "CLAUDE_BOTTLE_TEST_HOLD"

// TestHoldImage is that process.
func TestHoldImage(t *testing.T) {
	root := os.Getenv(holdVariable)
	if root == "" {
		return
	}
	store, err := runs.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	p := New(Config{Store: store, Getenv: os.Getenv, Home: root, UID: os.Getuid()})
	image, err := p.Image(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := image.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("open")
	select {}
}

// TestKilledWhileReadingAnImage: the next command removes the container.
func TestKilledWhileReadingAnImage(t *testing.T) {
	b := newBench(t)
	b.nothingLeft(t)
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestHoldImage$")
	cmd.Env = append(os.Environ(), holdVariable+"="+b.store.Root())
	for name, value := range b.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, len("open"))
	if _, err := out.Read(first); err != nil || string(first) != "open" {
		t.Errorf("it said %q, %v", first, err)
	}
	if len(b.objects(t)) != 1 {
		t.Errorf("while it lives: %v", b.objects(t))
	}
	p := b.platform(t)
	if _, err := bottle.Sweep(t.Context(), b.store, p); err != nil || len(b.objects(t)) != 1 {
		t.Errorf("of a live one: %v, %v", b.objects(t), err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if _, err := bottle.Sweep(t.Context(), b.store, p); err != nil {
		t.Error(err)
	}
	if left := b.objects(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
