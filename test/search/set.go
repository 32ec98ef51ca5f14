// Package search looks for many texts at once: in bytes, in files, and in the
// memory of processes. Tests use it to show that something is nowhere, on the
// host and, by the program in cmd/search, inside a bottle.
package search

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"slices"
)

// Set is texts that are looked for together, in one pass that skips most of
// what it passes: Wu and Manber's algorithm. At each place the four bytes that
// would end the shortest text are looked up, which says how far the next place
// is at which any text may end so.
type Set struct {
	texts   []string
	window  int                // length of the shortest
	longest int                // of the longest
	shifts  [1 << hashed]uint8 // by the hash of four bytes
	ends    map[uint32][]int   // what may begin where the shift is none
}

// Four bytes are looked up, by a hash of so many bits.
const (
	block  = 4
	hashed = 16
)

// NewSet panics for a text of fewer than four bytes.
func NewSet(texts []string) *Set {
	s := &Set{texts: texts, window: 255, ends: map[uint32][]int{}}
	for _, text := range texts {
		if len(text) < block {
			panic("search: too short: " + text)
		}
		s.window, s.longest = min(s.window, len(text)), max(s.longest, len(text))
	}
	for i := range s.shifts {
		s.shifts[i] = uint8(s.window - block + 1) //nolint:gosec // G115: at most 252
	}
	for i, text := range texts {
		for at := block; at <= s.window; at++ {
			hash := hashOf(binary.LittleEndian.Uint32([]byte(text[at-block : at])))
			s.shifts[hash] = min(s.shifts[hash], uint8(s.window-at)) //nolint:gosec // G115: at most 251
			if at == s.window {
				s.ends[hash] = append(s.ends[hash], i)
			}
		}
	}
	return s
}

func hashOf(four uint32) uint32 { return four * 0x9e3779b1 >> (32 - hashed) }

// In calls found with the number of each text for each time it is in data. The
// race detector, which would take most of the time, has nothing to see here.
//
//go:norace
func (s *Set) In(data []byte, found func(i int)) {
	for end := s.window; end <= len(data); {
		hash := hashOf(binary.LittleEndian.Uint32(data[end-block:]))
		if shift := s.shifts[hash]; shift > 0 {
			end += int(shift)
			continue
		}
		rest := data[end-s.window:]
		for _, i := range s.ends[hash] {
			if text := s.texts[i]; len(text) <= len(rest) && string(rest[:len(text)]) == text {
				found(i)
			}
		}
		end++
	}
}

// blockSize is how much of a stream is looked at in one go.
const blockSize = 1 << 20

// InStream calls found for each text in what r gives, perhaps twice for one, and
// returns how that ended: nil at its end.
func (s *Set) InStream(r io.Reader, found func(i int)) error {
	return s.inStream(r, make([]byte, 0, blockSize), found)
}

// inStream is InStream with a buffer to use again.
func (s *Set) inStream(r io.Reader, buffer []byte, found func(i int)) error {
	buffer = slices.Grow(buffer[:0], 2*s.longest)
	for {
		n, err := io.ReadFull(r, buffer[len(buffer):cap(buffer)])
		buffer = buffer[:len(buffer)+n]
		s.In(buffer, found)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// What is cut at the border; no text is in it whole.
		rest := copy(buffer, buffer[len(buffer)-(s.longest-1):])
		buffer = buffer[:rest]
	}
}

// InFile looks at the first limit bytes of a file.
func (s *Set) InFile(path string, limit int64, found func(i int)) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return s.InStream(io.LimitReader(file, limit), found)
}
