package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// memory is what processes use, in MiB.
type memory struct {
	resident float64
	// share is the proportional set size: a page that several processes have
	// counts for each of them by its part.
	share float64
}

// memoryOf reads /proc/PID/smaps_rollup (proc(5)).
func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	var used memory
	for line := range strings.Lines(string(text)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "Rss: %f kB", &kib); err == nil {
			used.resident = kib / 1024
		}
		if _, err := fmt.Sscanf(line, "Pss: %f kB", &kib); err == nil {
			used.share = kib / 1024
		}
	}
	if used.resident == 0 {
		return used, fmt.Errorf("process %d: no memory in smaps_rollup", pid)
	}
	return used, nil
}

// process is one of the machine's.
type process struct {
	pid, parent int
	args        []string
}

// parts of a bottle, by whose process it is.
var parts = []string{"launcher", "gateway", "guest", "probe", "gvisor", "shim", "harness"}

// bottles are how many are measured one after the other.
const bottles = 3

// measureMemory adds what each part of one bottle has.
func measureMemory(ctx context.Context, b *bench, runtime string) error {
	used := map[string][]float64{}
	for range bottles {
		one, err := b.dockerFleet(ctx, runtime, 1)
		if err != nil {
			return err
		}
		for part, sum := range one.memory {
			used[part] = append(used[part], sum)
		}
	}
	for _, part := range parts {
		if len(used[part]) > 0 {
			b.report.add("docker, "+runtime+": memory of one bottle, "+part, "MiB", 0, used[part], "what is shared counts by its part")
		}
	}
	return nil
}

// processes are all of the machine's.
func processes() ([]process, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var found []process
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it ended
		}
		args, err := os.ReadFile(filepath.Join(filepath.Dir(path), "cmdline"))
		if err != nil {
			continue
		}
		// The name, in parentheses, may hold anything.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		p := process{args: strings.Split(string(args), "\x00")}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		p.parent, _ = strconv.Atoi(fields[1])
		found = append(found, p)
	}
	return found, nil
}

// usage sums the memory of a fleet by part: launchers, and of each container
// of ids the engine's shim and all below it.
func usage(launchers []int, ids []string) (map[string]float64, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	ours := map[string]bool{}
	for _, id := range ids {
		ours[id] = true
	}
	part := map[int]string{}
	for _, pid := range launchers {
		part[pid] = "launcher"
	}
	for _, p := range all {
		if isShim(p.args, ours) {
			part[p.pid] = "shim"
		}
	}
	for again := true; again; { // until no process more is found below one that counts
		again = false
		for _, p := range all {
			if part[p.pid] == "" && part[p.parent] != "" && part[p.parent] != "launcher" {
				part[p.pid], again = partOf(p.args), true
			}
		}
	}
	sums := map[string]float64{}
	for pid, name := range part {
		used, err := memoryOf(pid)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
			return nil, fmt.Errorf("a %s ended while its memory was measured", name)
		}
		if err != nil {
			return nil, err
		}
		sums[name] += used.share
	}
	return sums, nil
}

// isShim says whether a process is the engine's shim of one of the containers.
func isShim(args []string, ids map[string]bool) bool {
	if !strings.Contains(filepath.Base(args[0]), "containerd-shim") {
		return false
	}
	for i, arg := range args[:len(args)-1] {
		if arg == "-id" && ids[args[i+1]] {
			return true
		}
	}
	return false
}

// partOf names what a process below a shim is.
func partOf(args []string) string {
	line := strings.Join(args, " ")
	switch {
	case strings.Contains(line, "gateway run"):
		return "gateway"
	case strings.Contains(args[0], "runsc"):
		return "gvisor"
	case strings.Contains(line, "guest init"):
		return "guest"
	case strings.Contains(line, "guest probe"):
		return "probe" // it listens for some seconds for what comes late
	}
	return "harness"
}
