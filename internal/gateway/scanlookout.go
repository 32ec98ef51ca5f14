package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"claude-bottle/internal/scan"
	"claude-bottle/internal/wire"
)

// lookout is what a watch looks for at one time. It is never changed.
type lookout struct {
	// scanner is built when something is to be looked at first: most launches
	// of a moment never need it.
	scanner  func() (*scan.Scanner, error)
	examiner sync.Pool // of *examiner
}

// lookFor begins to look for values beside what the table has. What is under
// way goes on with what it began with. The bytes of values are overwritten once
// the scanner is built, unless keep says that they are needed again.
func (w *watch) lookFor(values []scan.Value, keep bool) {
	l := new(lookout)
	l.scanner = sync.OnceValues(func() (*scan.Scanner, error) {
		o := scan.Options{Values: values, Rows: scan.Table()}
		for _, text := range w.terms.Allowed {
			var hash [sha256.Size]byte
			if n, err := hex.Decode(hash[:], []byte(text)); err != nil || n != len(hash) {
				return nil, fmt.Errorf("read the hash of an allowed value: %w", err)
			}
			o.Allowed = append(o.Allowed, hash)
		}
		// A placeholder has its secret's form, and is nobody else's credential
		// (TestPlaceholdersAreNobodysCredential).
		for _, v := range values {
			if v.Kind == scan.Placeholder {
				o.Allowed = append(o.Allowed, sha256.Sum256(v.Bytes))
			}
		}
		s, err := scan.New(o)
		if !keep { // what is left of them is in the scanner
			for i := range values {
				clear(values[i].Bytes)
			}
		}
		// Building takes some times what is built; a gateway at rest gives it
		// back.
		debug.FreeOSMemory()
		return s, err
	})
	w.now.Store(l)
}

// scanner is the one of now.
func (w *watch) scanner() (*scan.Scanner, error) { return w.now.Load().scanner() }

// maxRenewed is how many values that secrets were renewed with are looked for,
// the latest of all secrets: the former ones are worth nothing by then.
const maxRenewed = 4

// renewed looks for the value that a secret has from now on, too; it is no
// shorter than those that can be looked for (broker.ParseRenewal).
func (w *watch) renewed(name, value string) {
	w.renewing.Lock()
	defer w.renewing.Unlock()
	w.fresh = append(w.fresh, scan.Value{Name: name, Kind: scan.Secret, Bytes: []byte(value)})
	w.fresh = slices.Clone(w.fresh[max(0, len(w.fresh)-maxRenewed):])
	w.lookFor(slices.Concat(w.values, w.fresh), true)
}

// watchFor has the gateway look for values that are readable inside, for those
// of the broker, which may be nil, and for the table's credentials. The
// renewers are there before.
func (s *server) watchFor(inside []wire.Watched, secrets interface{ Values() []scan.Value }) {
	readable := map[string]bool{}
	values := secrets.Values()
	for _, v := range inside {
		kind := scan.Secret
		if v.Decoy {
			kind = scan.Canary
		} else {
			readable[v.Name] = true
		}
		if len(v.Value) >= scan.MinValue {
			values = append(values, scan.Value{Name: v.Name, Kind: kind, Bytes: v.Value})
		}
	}
	s.watch = newWatch(readable, s.policy().Scan())
	renewing := len(s.renewers) > 0
	if renewing {
		s.watch.values = values
	}
	s.watch.lookFor(values, renewing)
	s.journal.scrub = s.watch.scrub
}
