package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"

	"claude-bottle/internal/manifest"
)

// offeredStore remembers which refused hosts a person was asked about at the
// end of runs, so that they are asked about each once and not after every run:
// an agent's telemetry asks for the same hosts each time.
type offeredStore struct {
	path  string
	where string // the manifest and the bottle, for which an answer holds
}

// Bounds of the store. The oldest entries make room.
const (
	maxOfferedFile = 1 << 20
	maxOfferedEver = 1024
)

// offeredFile is the store's file; entries are in the order of the questions.
type offeredFile struct {
	Version int       `json:"version"`
	Offered []offered `json:"offered"`
}

type offered struct {
	Where string `json:"where"`
	Host  string `json:"host"` // as a rule has it
}

// offeredStore is that of a bottle, as the manifests of the working directory
// have it.
func (a *App) offeredStore(bottleName string) (*offeredStore, error) {
	root, err := a.stateRoot()
	if err != nil {
		return nil, err
	}
	home, err := a.home()
	if err != nil {
		return nil, err
	}
	dir, err := a.Dir()
	if err != nil {
		return nil, err
	}
	found, err := manifest.Find(dir, home)
	if err != nil {
		return nil, err
	}
	where := bottleName
	if len(found) > 0 { // the project's is the last
		where += " of " + found[len(found)-1].Path
	}
	return &offeredStore{path: filepath.Join(root, "offered.json"), where: where}, nil
}

// read returns what is remembered. A file that is damaged is none: its hosts
// are asked about again.
func (s *offeredStore) read() offeredFile {
	var file offeredFile
	info, err := os.Stat(s.path)
	if err != nil || info.Size() > maxOfferedFile {
		return offeredFile{}
	}
	data, err := os.ReadFile(s.path)
	if err != nil || json.Unmarshal(data, &file) != nil || file.Version != 1 {
		return offeredFile{}
	}
	return file
}

// fresh are the hosts that nobody was asked about yet, and how many others
// there are.
func (s *offeredStore) fresh(hosts []refusedHost) (fresh []refusedHost, known int) {
	file := s.read()
	for _, host := range hosts {
		if slices.Contains(file.Offered, offered{s.where, host.rule.Text()}) {
			known++
			continue
		}
		fresh = append(fresh, host)
	}
	return fresh, known
}

// remember notes that a person was asked about hosts.
func (s *offeredStore) remember(hosts []refusedHost) error {
	file := s.read()
	file.Version = 1
	for _, host := range hosts {
		file.Offered = append(file.Offered, offered{s.where, host.rule.Text()})
	}
	file.Offered = file.Offered[max(len(file.Offered)-maxOfferedEver, 0):]
	data, err := json.Marshal(file)
	if err != nil {
		return err
	}
	return renameio.WriteFile(s.path, append(data, '\n'), 0o600)
}
