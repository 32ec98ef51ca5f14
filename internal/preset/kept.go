package preset

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
)

// keptVersion changes with what is read of an image, and how.
const keptVersion = 1

// kept is what an image said, by preset. It holds hosts and no address, which
// can have a password in it.
type kept struct {
	Version int               `json:"version"`
	Image   string            `json:"image"`
	Hidden  []string          `json:"hidden"`
	Said    map[string][]said `json:"said"`
}

// recall returns what was kept. What cannot be read is as nothing.
func (image Image) recall() map[string][]said {
	nothing := map[string][]said{}
	if image.Kept == "" {
		return nothing
	}
	data, err := os.ReadFile(image.Kept)
	if err != nil {
		return nothing
	}
	var was kept
	if json.Unmarshal(data, &was) != nil || was.Said == nil ||
		was.Version != keptVersion || was.Image != image.ID || !slices.Equal(was.Hidden, image.Hidden) {
		return nothing
	}
	return was.Said
}

// remember keeps it.
func (image Image) remember(all map[string][]said) error {
	if image.Kept == "" || image.remembered {
		return nil
	}
	data, err := json.Marshal(kept{keptVersion, image.ID, image.Hidden, all})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(image.Kept), 0o700)
	}
	if err == nil {
		err = renameio.WriteFile(image.Kept, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("keep what the image says: %w", err)
	}
	return nil
}
