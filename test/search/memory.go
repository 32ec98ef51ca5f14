//go:build linux

package search

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Area is one of a process's memory, as proc_pid_maps(5) has it.
type Area struct {
	From, To int64
	Mode     string // "rw-p"
	offset   int64  // of the file that is behind it
	inode    uint64
}

// InMemory calls found for each text in what which chooses of the memory of a
// process, and returns an error where nothing of it can be read.
func (s *Set) InMemory(pid int, which func(Area) bool, found func(i int)) error {
	areas, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return err
	}
	defer mem.Close()
	pages, err := os.Open(fmt.Sprintf("/proc/%d/pagemap", pid))
	if err == nil {
		defer pages.Close()
	}
	buffer := make([]byte, 0, blockSize)
	for line := range strings.Lines(string(areas)) {
		var area Area
		var device string
		// What the kernel puts there itself has names that begin so.
		n, _ := fmt.Sscanf(line, "%x-%x %s %x %s %d", &area.From, &area.To, &area.Mode, &area.offset, &device, &area.inode)
		if n != 6 || strings.Contains(line, "[v") || !which(area) {
			continue
		}
		used := area.touched(pages)
		if area.inode != 0 && strings.HasSuffix(area.Mode, "s") {
			used = area.written(fmt.Sprintf("/proc/%d/map_files/%s", pid, strings.Fields(line)[0]))
		}
		for _, part := range used {
			// Where one cannot be read, the rest of it is another's matter.
			_ = s.inStream(io.NewSectionReader(mem, part.From, part.To-part.From), buffer, found)
		}
	}
	return nil
}

// touched are the stretches of an area that may hold something. Of what no file
// is behind, that is what is in memory or swapped out: programs reserve
// gigabytes of which nothing was ever written to.
func (a Area) touched(pages *os.File) []Area {
	if a.inode != 0 || pages == nil {
		return []Area{a}
	}
	size := int64(os.Getpagesize())
	entries := make([]byte, (a.To-a.From)/size*8)
	if _, err := pages.ReadAt(entries, a.From/size*8); err != nil {
		return []Area{a}
	}
	var list []Area
	for at := a.From; at < a.To; at += size {
		const present, swapped = 1 << 63, 1 << 62
		if binary.LittleEndian.Uint64(entries[(at-a.From)/size*8:])&(present|swapped) == 0 {
			continue
		}
		if last := len(list) - 1; last >= 0 && list[last].To == at {
			list[last].To += size
			continue
		}
		list = append(list, Area{From: at, To: at + size})
	}
	return list
}

// written are the stretches of an area that is shared with its file at which
// the file has no hole. A sandbox of gVisor's has all the memory of what runs
// in it as one file of gigabytes, and to read a hole would fill it.
func (a Area) written(path string) []Area {
	file, err := os.Open(path)
	if err != nil {
		return []Area{a}
	}
	defer file.Close()
	var list []Area
	end := a.offset + a.To - a.From
	for at := a.offset; at < end; {
		data, err := file.Seek(at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= end {
			return list
		}
		hole := end
		if err == nil {
			hole, err = file.Seek(data, unix.SEEK_HOLE)
		}
		if err != nil {
			return []Area{a}
		}
		at = min(hole, end)
		list = append(list, Area{From: a.From + data - a.offset, To: a.From + at - a.offset})
	}
	return list
}
