package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// A record goes on in the next part when one is full: order and whole lines
// stay, readers and followers see all of it, the limit is that of all parts,
// and a writer that comes later goes on where the last one ended.
func TestParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "record")
	const lines = 60
	ctx, cancel := context.WithCancel(t.Context())
	followed := make(chan int, 1)
	go func() {
		n := 0
		_ = Follow(ctx, path, func(e Event) error {
			if e.Host == strconv.Itoa(n)+".example" {
				n++
			}
			if n == lines {
				cancel()
			}
			return nil
		})
		followed <- n
	}()
	for begin := 0; begin < lines; begin += lines / 3 {
		w, err := OpenWriter(path, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.most = 1000
		for i := begin; i < begin+lines/3; i++ {
			if err := w.Append(Event{Host: strconv.Itoa(i) + ".example", Decision: Allowed}); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if n := <-followed; n != lines {
		t.Errorf("%d lines were followed", n)
	}
	next := 0
	bad, err := Read(path, func(e Event) error {
		if e.Host != strconv.Itoa(next)+".example" {
			t.Errorf("line %d is %s", next, e.Host)
		}
		next++
		return nil
	})
	n, before, perr := parts(path)
	if bad != 0 || err != nil || next != lines || n < 5 || before < int64(n-2)*500 || perr != nil {
		t.Errorf("%d lines, %d bad, %v; %d parts, %d bytes before the last, %v", next, bad, err, n, before, perr)
	}
	for i := range n {
		data, err := os.ReadFile(part(path, i))
		if err != nil || len(data) > 1000 || !strings.HasSuffix(string(data), "\n") {
			t.Errorf("part %d: %d bytes, %v", i, len(data), err)
		}
	}
	w, err := OpenWriter(path, before+1000)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.most = 1000
	for range 20 {
		err = errors.Join(err, w.Append(Event{Host: "more.example", Decision: Allowed}))
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("beyond the limit of all parts: %v", err)
	}
}
