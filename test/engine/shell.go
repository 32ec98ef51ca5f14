package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/moby/moby/client"
)

// ShellImage is an image of busybox and nothing else, for tests that are not
// about the image.
const ShellImage = "claude-bottle-test-shell:1"

// Shell makes ShellImage where it is missing. It needs busybox-static.
func Shell(ctx context.Context, api *client.Client) error {
	if _, err := api.ImageInspect(ctx, ShellImage); err == nil {
		return nil
	}
	return ShellWith(ctx, api, ShellImage, nil)
}

// ShellWith makes an image like ShellImage, of that name, with more programs:
// shell scripts by their name in /bin.
func ShellWith(ctx context.Context, api *client.Client, name string, scripts map[string]string) error {
	layer, err := shellLayer(ctx, scripts)
	if err != nil {
		return err
	}
	result, err := api.ImageImport(ctx, client.ImageImportSource{Source: layer, SourceName: "-"}, name,
		client.ImageImportOptions{Changes: []string{"ENV PATH=/bin"}})
	if err != nil {
		return fmt.Errorf("import %s: %w", name, err)
	}
	defer result.Close()
	_, err = io.Copy(io.Discard, result)
	return err
}

// shellLayer is busybox with a link for each of its programs, and scripts.
func shellLayer(ctx context.Context, scripts map[string]string) (io.Reader, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, fmt.Errorf("%w (apt-get install busybox-static)", err)
	}
	data, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	programs, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list busybox's programs: %w", err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	var errs []error
	for _, dir := range []string{"bin/", "etc/", "home/", "tmp/", "usr/"} {
		errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o1777}))
	}
	errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/busybox", Size: int64(len(data)), Mode: 0o755}))
	_, err = w.Write(data)
	errs = append(errs, err)
	for name := range strings.FieldsSeq(string(programs)) {
		if name != "busybox" {
			errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox"}))
		}
	}
	for name, text := range scripts {
		text = "#!/bin/sh\n" + text
		errs = append(errs, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/" + name, Size: int64(len(text)), Mode: 0o755}))
		_, err := io.WriteString(w, text)
		errs = append(errs, err)
	}
	return &layer, errors.Join(append(errs, w.Close())...)
}
