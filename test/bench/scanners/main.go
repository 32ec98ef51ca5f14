// Command scanners measures this project's scanner beside gitleaks, in one
// process and on the same bytes: how fast, what it finds and what it finds
// that is not there. It is a module of its own, so that the peer is no
// requirement of the product.
//
//	cd test/bench/scanners && go run . -source "$(go env GOROOT)"
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/zricethezav/gitleaks/v8/detect"

	"claude-bottle/internal/scan"
)

func main() {
	log.SetFlags(0)
	seed := flag.Uint64("seed", 1, "of the corpus")
	root := flag.String("source", "", "a Go distribution, whose code holds no credentials")
	flag.Parse()
	if err := run(os.Stdout, *seed, *root); err != nil {
		log.Fatal(err)
	}
}

// scanner is one of the two: the text of what it found in data, or a place.
type scanner struct {
	name   string
	passes int
	scan   func(data []byte) []span
}

// span is a part of data.
type span struct{ from, to int }

func run(out io.Writer, seed uint64, root string) error {
	ours, err := newOurs()
	if err != nil {
		return err
	}
	peer, err := newPeer()
	if err != nil {
		return err
	}
	code, err := source(root, 4<<20)
	if err != nil {
		return err
	}
	planted, places := corpus(seed, code)
	clean := map[string][]byte{"source code": code, "random bytes": randomBytes(seed, 4<<20), "locks, digests, ids": digests(seed, 2<<20)}
	fmt.Fprintf(out, "%-16s %-22s %10s %10s %10s\n", "scanner", "corpus", "MB/s", "found", "of")
	for _, s := range []scanner{ours, peer} {
		rate, found := measure(s, planted)
		fmt.Fprintf(out, "%-16s %-22s %10.1f %10d %10d\n", s.name, "planted credentials", rate, recall(found, places), len(places))
		for _, name := range slices.Sorted(mapKeys(clean)) {
			rate, found := measure(s, clean[name])
			fmt.Fprintf(out, "%-16s %-22s %10.1f %10d %10d\n", s.name, name, rate, len(found), 0)
		}
	}
	missed(out, ours, planted, places)
	return nil
}

// measure is the best of a few passes, on one core.
func measure(s scanner, data []byte) (rate float64, found []span) {
	runtime.GOMAXPROCS(1)
	for range s.passes {
		begin := time.Now()
		found = s.scan(data)
		rate = max(rate, float64(len(data))/1e6/time.Since(begin).Seconds())
	}
	return rate, found
}

func newOurs() (scanner, error) {
	// What a run has: a few secrets of its own beside the table.
	s, err := scan.New(scan.Options{Rows: scan.Table(), Values: []scan.Value{
		{Name: "one", Kind: scan.Secret, Bytes: []byte("ghp_0123456789abcdefghijABCDEFGHIJ012345")},
		{Name: "two", Kind: scan.Secret, Bytes: []byte("sk-ant-oat01-Zq3x8Lm2Vb7Nc5Kd9Fg1Hj4Tr6Yu0PwEaSoIiUyTrEwQ")},
		{Name: "three", Kind: scan.Secret, Bytes: []byte("wJ4lrXUtnF5MIK7MDENGbPxRfiCY9XqLm2Vb7Nc5")},
	}})
	return scanner{"claude-bottle", 5, func(data []byte) []span {
		var all []span
		stream := s.Stream()
		take := func(found []scan.Finding) {
			for _, f := range found {
				all = append(all, span{int(f.Offset), int(f.Offset) + f.Length})
			}
		}
		for chunk := range slices.Chunk(data, 32<<10) {
			take(stream.Write(chunk))
		}
		take(stream.Close())
		return all
	}}, err
}

// newPeer has its default rules, and gets pieces of the size in which that
// program reads files itself.
func newPeer() (scanner, error) {
	const piece = 100 << 10
	d, err := detect.NewDetectorDefaultConfig()
	return scanner{"gitleaks", 1, func(data []byte) []span {
		var all []span
		for at := 0; at < len(data); {
			end := min(at+piece, len(data))
			if i := bytes.IndexByte(data[end:], '\n'); i >= 0 && i < piece {
				end += i + 1
			}
			for _, f := range d.DetectString(string(data[at:end])) {
				for _, s := range locate(data[at:end], f.Secret) {
					all = append(all, span{at + s.from, at + s.to})
				}
			}
			at = end
		}
		return all
	}}, err
}
