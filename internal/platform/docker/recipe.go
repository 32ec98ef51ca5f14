package docker

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"strings"

	"claude-bottle/internal/harness"
)

//go:embed recipe/Dockerfile
var dockerfile []byte

// defaultBase is what the recipe starts from unless the environment says
// otherwise.
const defaultBase = "node:22-slim"

// recipe is everything that the default image is made of.
type recipe struct {
	Base   string // the image it is built from: CLAUDE_BOTTLE_BASE_IMAGE
	Claude string // version of the harness's npm package: CLAUDE_BOTTLE_CLAUDE_VERSION
	Home   string // the agent's home inside
	Roots  string // extra CA certificates, PEM
}

func recipeOf(settings settings, home, roots string) recipe {
	r := recipe{Base: settings.Base, Claude: harness.ClaudePackage(settings.Claude).Version, Home: home, Roots: roots}
	if r.Base == "" {
		r.Base = defaultBase
	}
	return r
}

// Hash names the image that r leads to; the image carries it as a label.
func (r recipe) Hash() string {
	args, _ := json.Marshal(r) // of strings: cannot fail
	h := sha256.New()
	h.Write(dockerfile)
	h.Write(args)
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// args are the recipe's build arguments.
func (r recipe) args() map[string]string {
	return map[string]string{"BASE": r.Base, "CLAUDE_VERSION": r.Claude, "BOTTLE_HOME": r.Home}
}

// context is the build context: the recipe and each root in a file of its
// own, since update-ca-certificates reads one certificate a file.
func (r recipe) context() (*bytes.Buffer, error) {
	var context bytes.Buffer
	w := tar.NewWriter(&context)
	if err := tarFile(w, "Dockerfile", dockerfile, 0o644); err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "roots/", Mode: 0o755}); err != nil {
		return nil, err
	}
	rest := []byte(r.Roots)
	for n := 1; ; n++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		block.Headers = nil
		name := fmt.Sprintf("roots/claude-bottle-%02d.crt", n)
		if err := tarFile(w, name, pem.EncodeToMemory(block), 0o644); err != nil {
			return nil, err
		}
	}
	return &context, w.Close()
}

func tarFile(w *tar.Writer, name string, data []byte, mode int64) error {
	err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data))})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// proxyArgs are the launcher's proxy settings as the build arguments that
// every recipe knows and that no image remembers.
func proxyArgs(getenv func(string) string) map[string]string {
	args := map[string]string{}
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"} {
		for _, variant := range []string{name, strings.ToLower(name)} {
			if value := getenv(variant); value != "" {
				args[variant] = value
			}
		}
	}
	return args
}
