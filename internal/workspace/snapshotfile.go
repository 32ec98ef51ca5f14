package workspace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/tree"
)

// A snapshot's file is the magic line, the number of entries, and for each, in
// the order of paths: how many bytes of its path are the previous one's, how
// many follow, these, then inode, size, change time and mode. Numbers are
// unsigned varints. Some 20 bytes a file.
const snapshotMagic = "claude-bottle snapshot 1\n"

// ErrSnapshot says that a file does not hold a whole snapshot.
var ErrSnapshot = errors.New("not a snapshot")

// Save writes the snapshot to a new file, readable by its owner alone.
func (s Snapshot) Save(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return hint.Disk(fmt.Errorf("save the snapshot: %w", err))
	}
	err = s.Write(file)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = os.Remove(path)
		return hint.Disk(fmt.Errorf("save the snapshot: %w", err))
	}
	return nil
}

// Write writes the snapshot in its file's format.
func (s Snapshot) Write(to io.Writer) error {
	out := bufio.NewWriter(to)
	_, _ = out.WriteString(snapshotMagic) // errors stay until Flush
	number := make([]byte, 0, binary.MaxVarintLen64)
	put := func(values ...uint64) {
		for _, value := range values {
			_, _ = out.Write(binary.AppendUvarint(number, value))
		}
	}
	put(uint64(len(s.files)))
	before := ""
	for _, path := range slices.Sorted(maps.Keys(s.files)) {
		m := s.files[path]
		same := common(before, path)
		put(uint64(same), uint64(len(path)-same))
		_, _ = out.WriteString(path[same:])
		put(m.inode, uint64(m.size), uint64(m.ctime), uint64(m.mode))
		before = path
	}
	return out.Flush()
}

func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// LoadSnapshot reads a file that Save wrote. ErrSnapshot says that it is torn
// or something else.
func LoadSnapshot(path string) (Snapshot, error) {
	file, err := tree.OpenFile(path)
	if err != nil {
		return Snapshot{}, fmt.Errorf("load the snapshot: %w", err)
	}
	defer func() { _ = file.Close() }()
	s, err := ReadSnapshot(file)
	if err != nil {
		return Snapshot{}, fmt.Errorf("load the snapshot %s: %w", path, err)
	}
	return s, nil
}

// ReadSnapshot reads what Write wrote.
func ReadSnapshot(from io.Reader) (Snapshot, error) {
	in := &reader{from: bufio.NewReader(from)}
	if in.text(len(snapshotMagic)) != snapshotMagic {
		return Snapshot{}, ErrSnapshot
	}
	s := Snapshot{files: map[string]mark{}}
	count := in.number()
	if count > entriesMax {
		return Snapshot{}, ErrSnapshot
	}
	before := ""
	for range count {
		same, more := in.number(), in.number()
		if in.failed || same > uint64(len(before)) || more == 0 || more > tree.PathMax-same {
			return Snapshot{}, ErrSnapshot
		}
		path := before[:same] + in.text(int(more))
		if path <= before {
			return Snapshot{}, ErrSnapshot
		}
		s.files[path] = mark{in.number(), int64(in.number()), int64(in.number()), uint32(in.number())}
		before = path
	}
	if _, err := in.from.ReadByte(); in.failed || err != io.EOF {
		return Snapshot{}, ErrSnapshot
	}
	return s, nil
}

// reader reads parts until one is missing.
type reader struct {
	from   *bufio.Reader
	failed bool
}

func (r *reader) number() uint64 {
	value, err := binary.ReadUvarint(r.from)
	r.failed = r.failed || err != nil
	return value
}

func (r *reader) text(length int) string {
	data := make([]byte, length)
	_, err := io.ReadFull(r.from, data)
	r.failed = r.failed || err != nil
	return string(data)
}
