//go:build linux

package search_test

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/sys/unix"

	"claude-bottle/test/search"
)

// letters are few, so that texts are nearly found all the time.
func letters(n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte("aab\x00"[rand.IntN(4)])
	}
	return b.String()
}

// What is found is what is there, wherever it stands.
func TestFinds(t *testing.T) {
	for range 500 {
		var texts []string
		for range 1 + rand.IntN(5) {
			texts = append(texts, letters(4+rand.IntN(8)))
		}
		data := []byte(letters(rand.IntN(3000)))
		for _, text := range texts[:rand.IntN(len(texts))+1] {
			if at := rand.IntN(len(data) + 1); rand.IntN(3) == 0 {
				data = slices.Insert(data, at, []byte(text)...)
			}
		}
		got, streamed := map[int]bool{}, map[int]bool{}
		set := search.NewSet(texts)
		set.In(data, func(i int) { got[i] = true })
		if err := set.InStream(iotest.OneByteReader(bytes.NewReader(data)), func(i int) { streamed[i] = true }); err != nil {
			t.Fatal(err)
		}
		for i, text := range texts {
			if want := bytes.Contains(data, []byte(text)); got[i] != want || streamed[i] != want {
				t.Fatalf("%q in %q: %t, and in a stream %t, want %t", text, data, got[i], streamed[i], want)
			}
		}
	}
}

// A text that lies across the border of what is read in one go is found.
func TestAcrossBorders(t *testing.T) {
	texts := []string{strings.Repeat("border", 20), "short"}
	set, zeroes := search.NewSet(texts), make([]byte, 1<<20)
	for before := 1<<20 - 122; before < 1<<20+2; before += 3 {
		for i, text := range texts {
			found := map[int]bool{}
			data := io.MultiReader(bytes.NewReader(zeroes), strings.NewReader(strings.Repeat("\x00", 200)+text+"\x00\x00"))
			if _, err := io.CopyN(io.Discard, data, 1<<20+200-int64(before)); err != nil {
				t.Fatal(err)
			}
			if err := set.InStream(data, func(at int) { found[at] = true }); err != nil || len(found) != 1 || !found[i] {
				t.Fatalf("%d bytes, then %q: found %v, %v", before, text, found, err)
			}
		}
	}
}

// Of another process's memory what it holds is found: in its environment, among
// gigabytes that it reserves and does not use, and in a file that is full of
// holes, of which none is filled.
func TestMemory(t *testing.T) {
	if os.Getenv("SEARCH_TEST_HOLD") != "" {
		hold()
		return
	}
	own := hex.EncodeToString([]byte(fmt.Sprint(rand.Uint64())))[:16]
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemory$")
	cmd.Env = append(os.Environ(), "SEARCH_TEST_HOLD="+own)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	found := map[int]int{}
	set := search.NewSet([]string{own, strings.ToUpper(own) + "/held", strings.ToUpper(own) + "/file", "never " + own})
	writable := func(a search.Area) bool { return strings.HasPrefix(a.Mode, "rw") }
	if err := set.InMemory(cmd.Process.Pid, writable, func(i int) { found[i]++ }); err != nil {
		t.Error(err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		t.Error(err)
	}
	var kilobytes int
	_, after, _ := strings.Cut(string(status), "RssShmem:")
	if _, err := fmt.Sscan(after, &kilobytes); err != nil || kilobytes == 0 || kilobytes > 10000 {
		t.Errorf("%d kB of the file are in memory (%v): the search has filled its holes", kilobytes, err)
	}
	_ = stdin.Close() // it ends
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if found[0] == 0 || found[1] == 0 || found[2] == 0 || found[3] > 0 {
		t.Errorf("found %v of the environment, of what is held, of the file, and of what is not there", found)
	}
	if err := set.InMemory(1<<30, writable, func(int) {}); err == nil {
		t.Error("the memory of nobody can be read")
	}
}

// hold has a text in the midst of much that is not used, its own and a file's,
// until its input ends.
func hold() {
	own := strings.ToUpper(os.Getenv("SEARCH_TEST_HOLD"))
	reserved := make([]byte, 1<<32)
	copy(reserved[3<<30:], own+"/held")
	fd, err := unix.MemfdCreate("hold", 0)
	if err != nil {
		panic(err)
	}
	if err := unix.Ftruncate(fd, 1<<32); err != nil {
		panic(err)
	}
	shared, err := unix.Mmap(fd, 1<<20, 1<<31, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		panic(err)
	}
	copy(shared[1<<30:], own+"/file")
	_, _ = os.Stdout.WriteString("held\n") // who waits sees when it is not
	_, _ = os.Stdin.Read(make([]byte, 1))  // nothing comes
	runtime.KeepAlive([][]byte{reserved, shared})
}

func BenchmarkSet(b *testing.B) {
	var texts []string
	for range 240 {
		texts = append(texts, hex.EncodeToString([]byte(fmt.Sprintf("%016x", rand.Uint64()))))
	}
	program, err := os.ReadFile(os.Args[0])
	if err != nil {
		b.Fatal(err)
	}
	set := search.NewSet(texts)
	b.SetBytes(int64(len(program)))
	for b.Loop() {
		set.In(program, func(int) {})
	}
}
