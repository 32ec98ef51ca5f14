package scan

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
)

// form is one way to write a value: its last bytes, all of them if it is no
// longer than [maxForm], and how many more there are before them.
type form struct {
	text     []byte
	before   int
	at       int // in the value, of its text; else -1
	squeezed bool
	value    int32
	encoding Encoding
}

// needle is a window of a form that is looked for at every so many bytes. As
// many of them follow each other as the lane leaves out.
type needle struct {
	lane   int32
	form   int32
	behind int32 // bytes of the form behind the window
}

// lane is how windows are looked at: of what length, at every which byte, and
// whether of the text squeezed, or of all of it, folded.
type lane struct {
	n, every int
	squeezed bool
}

// Lengths of windows. Of a form that is long enough every fourth byte is
// looked at only.
const (
	smallWindow = 16
	largeWindow = 32
	maxForm     = largeWindow + skip - 1
	skip        = 4
)

// laneOf is the one for a form of n bytes. Where an encoding makes long texts of
// few bytes, its windows are as long as can be.
func laneOf(n int, squeezed, large bool) lane {
	switch {
	case large && n >= largeWindow+skip-1:
		return lane{largeWindow, skip, squeezed}
	case large && n > smallWindow:
		return lane{min(n, largeWindow), 1, squeezed}
	case n >= smallWindow+skip-1:
		return lane{smallWindow, skip, squeezed}
	default:
		return lane{min(n, smallWindow), 1, squeezed}
	}
}

// keyed finds forms by a hash of whole windows, keyed at random. See the
// package's comment for what that is good for.
type keyed struct {
	forms   []form
	needles []needle
	lanes   []lane
	exact   bool // some lane does not squeeze
	deepest int  // bytes of a form

	now    atomic.Pointer[epoch]
	used   atomic.Int64 // bytes looked at since now began
	rekey  sync.Mutex   // guards source
	source *rand.ChaCha8
}

// epoch is a key and what it makes of the needles. It is never changed.
type epoch struct {
	keys  [][4]uint64 // of each lane
	bits  [1 << (bucketBits - 6)]uint64
	slots []holder // by hash, a power of two of them; open addressing
}

type holder struct {
	hash   uint64
	needle int32 // and one, so that 0 is free
}

// bucketBits gives 16 KiB, which stay in a core's first cache.
const bucketBits = 17

// epochBytes is how much is looked at under one key: too little to learn from
// the time what the key does to anything.
const epochBytes = 1 << 20

// newKeyed is nil without forms.
func newKeyed(all []form, large map[Encoding]bool) *keyed {
	if len(all) == 0 {
		return nil
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // which never fails
	k := &keyed{source: rand.NewChaCha8(seed)}
	type place struct {
		text     string
		squeezed bool
		value    int32
	}
	known := make(map[place]bool, len(all))
	for _, f := range all {
		if at := (place{string(f.text), f.squeezed, f.value}); !known[at] {
			known[at] = true
			k.add(f, laneOf(len(f.text), f.squeezed, large[f.encoding]))
		}
	}
	k.begin()
	return k
}

func (k *keyed) add(f form, by lane) {
	at := slices.Index(k.lanes, by)
	if at < 0 {
		at = len(k.lanes)
		k.lanes = append(k.lanes, by)
	}
	for behind := range by.every {
		k.needles = append(k.needles, needle{int32(at), int32(len(k.forms)), int32(behind)})
	}
	k.forms = append(k.forms, f)
	k.exact = k.exact || !f.squeezed
	k.deepest = max(k.deepest, len(f.text)+f.before)
}

// window is the one that a needle is.
func (k *keyed) window(one needle) []byte {
	text := k.forms[one.form].text
	end := len(text) - int(one.behind)
	return text[end-k.lanes[one.lane].n : end]
}

// epoch is the one of now, for n bytes.
func (k *keyed) epoch(n int) *epoch {
	if k.used.Add(int64(n)) > epochBytes && k.rekey.TryLock() {
		defer k.rekey.Unlock()
		k.used.Store(0)
		k.begin()
	}
	return k.now.Load()
}

// begin begins an epoch.
func (k *keyed) begin() {
	e := &epoch{keys: make([][4]uint64, len(k.lanes)), slots: make([]holder, 1<<bits.Len(uint(2*len(k.needles))))}
	for i := range e.keys {
		for j := range e.keys[i] {
			e.keys[i][j] = k.source.Uint64()
		}
	}
	for i, one := range k.needles {
		h := e.hash(int(one.lane), k.window(one))
		e.bits[h>>(64-bucketBits)>>6] |= 1 << (h >> (64 - bucketBits) & 63)
		at := h & uint64(len(e.slots)-1)
		for e.slots[at].needle != 0 {
			at = (at + 1) & uint64(len(e.slots)-1)
		}
		e.slots[at] = holder{h, int32(i + 1)}
	}
	k.now.Store(e)
}

func mix(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	return high ^ low
}

func word64(p []byte) uint64 { return binary.LittleEndian.Uint64(p) }

// hash is that of a window, by lane's key. It takes a window by two or four
// words, which may overlap.
func (e *epoch) hash(lane int, w []byte) uint64 {
	key, n := &e.keys[lane], len(w)
	if n <= smallWindow {
		return mix(word64(w)+key[0], word64(w[n-8:])+key[1])
	}
	return mix(word64(w)+key[0], word64(w[8:])+key[1]) + mix(word64(w[n-16:])+key[2], word64(w[n-8:])+key[3])
}

// found is a window that is a needle's, by the index behind its end.
type found struct {
	end    int
	needle int32
}

// look finds the windows that end at p[end], and at every so many bytes from
// there on. It also returns how many it had to look twice at: those that share
// a bucket with a needle.
func (e *epoch) look(number int, by lane, p []byte, end int, all []found) ([]found, int) {
	for end < by.n {
		end += by.every
	}
	switch begin, key := end-by.n, &e.keys[number]; by.n {
	case smallWindow:
		return e.lookSmall(key, by.every, p, begin, all)
	case largeWindow:
		return e.lookLarge(key, by.every, p, begin, all)
	default:
		return e.lookOdd(number, by, p, begin, all)
	}
}

func (e *epoch) lookSmall(key *[4]uint64, every int, p []byte, begin int, all []found) ([]found, int) {
	twice, key0, key1 := 0, key[0], key[1]
	for i := begin; i+smallWindow <= len(p); i += every {
		w := p[i : i+smallWindow : i+smallWindow]
		h := mix(word64(w)+key0, word64(w[8:])+key1)
		if b := h >> (64 - bucketBits); e.bits[b>>6]>>(b&63)&1 != 0 {
			twice++
			all = e.at(h, i+smallWindow, all)
		}
	}
	return all, twice
}

func (e *epoch) lookLarge(key *[4]uint64, every int, p []byte, begin int, all []found) ([]found, int) {
	twice, key0, key1, key2, key3 := 0, key[0], key[1], key[2], key[3]
	for i := begin; i+largeWindow <= len(p); i += every {
		w := p[i : i+largeWindow : i+largeWindow]
		h := mix(word64(w)+key0, word64(w[8:])+key1) + mix(word64(w[16:])+key2, word64(w[24:])+key3)
		if b := h >> (64 - bucketBits); e.bits[b>>6]>>(b&63)&1 != 0 {
			twice++
			all = e.at(h, i+largeWindow, all)
		}
	}
	return all, twice
}

// lookOdd is for the lengths of values that are short.
func (e *epoch) lookOdd(number int, by lane, p []byte, begin int, all []found) ([]found, int) {
	twice := 0
	for i := begin; i+by.n <= len(p); i += by.every {
		h := e.hash(number, p[i:i+by.n])
		if b := h >> (64 - bucketBits); e.bits[b>>6]>>(b&63)&1 != 0 {
			twice++
			all = e.at(h, i+by.n, all)
		}
	}
	return all, twice
}

// at adds the needles of a hash.
//
//go:noinline
func (e *epoch) at(h uint64, end int, all []found) []found {
	for at := h & uint64(len(e.slots)-1); e.slots[at].needle != 0; at = (at + 1) & uint64(len(e.slots)-1) {
		if e.slots[at].hash == h {
			all = append(all, found{end, e.slots[at].needle - 1})
		}
	}
	return all
}

// size is roughly what it holds in memory, in bytes.
func (k *keyed) size() int {
	if k == nil {
		return 0
	}
	e := k.now.Load()
	n := len(e.bits)*8 + len(e.slots)*16
	for _, f := range k.forms {
		n += 64 + len(f.text)
	}
	return n + 12*len(k.needles)
}
