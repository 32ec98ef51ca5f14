package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"claude-bottle/internal/term"
)

type versionOptions struct {
	*App
	Format format
}

func newVersion(app *App) *cobra.Command {
	opts := &versionOptions{App: app}
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  noArgs,
		RunE:  func(*cobra.Command, []string) error { return runVersion(opts) },
	}
	opts.Format.flag(cmd)
	return cmd
}

// build is what the binary knows of itself.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"` // of the revision, RFC 3339
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func runVersion(opts *versionOptions) error {
	b := buildOf(opts.Version)
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, b)
	}
	line := "claude-bottle " + b.Version
	if b.Revision != "" {
		line += " (" + b.Revision[:min(12, len(b.Revision))]
		if b.Modified {
			line += ", modified"
		}
		line += ")"
	}
	_, err := fmt.Fprintf(opts.Out, "%s %s %s\n", line, b.Go, b.Platform)
	return err
}

func buildOf(version string) build {
	b := build{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if b.Version == "" {
		b.Version = "devel"
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			b.Revision = setting.Value
		case "vcs.time":
			b.Time = setting.Value
		case "vcs.modified":
			b.Modified = setting.Value == "true"
		}
	}
	return b
}

// writeJSON writes one indented value, for programs and people alike.
func writeJSON(w io.Writer, value any) error { return term.JSON(w, value, "  ") }
