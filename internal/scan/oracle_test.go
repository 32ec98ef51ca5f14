package scan

import (
	"bytes"
	"compress/flate"
	"fmt"
	"testing"
)

// A guess is a text that a bottle chose, to learn by what is held back of it
// whether a value begins so. TestGateTellsNothing and its like hold that what
// leaves, and when, is the same for a right and for a wrong one.
type guess struct {
	what         string
	right, wrong []byte
}

// guesses are the beginnings of a value in each encoding, beside others of
// their length that differ in the last byte.
func guesses(value string) []guess {
	var all []guess
	for name, text := range encodings(value) {
		for n := 1; n < len(text); n += 1 + n/24 { // of long texts not each
			right := []byte(text[:n])
			wrong := bytes.Clone(right)
			wrong[n-1] = '~'
			if len(value) > wholeBytes && n >= pieceBytes { // that may be one of the pieces, which may be known
				break
			}
			all = append(all, guess{fmt.Sprintf("%d of %s", n, name), right, wrong})
		}
	}
	return all
}

const long = "ghp_Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zA7b0"

// at are the places in a body where a guess is tried: alone, and behind more
// than is ever held back.
func at(s *Scanner) []string { return []string{"", lines(10), lines(s.Lookback() + 100)} }

func TestGateTellsNothing(t *testing.T) {
	for _, value := range []string{sample, long} {
		for _, rows := range [][]Row{nil, Table()} {
			s := scanner(t, Options{Values: []Value{{Name: "V", Kind: Secret, Bytes: []byte(value)}}, Rows: rows})
			for _, before := range at(s) {
				for _, one := range guesses(value) {
					if rows != nil && len(one.right) > 3 { // forms of providers are public, and may be waited for
						continue
					}
					tell := func(guess []byte) (left [3]int) {
						var out bytes.Buffer
						g := s.Gate(&out, func(Finding) Verdict { return Pass })
						for i, step := range []func() error{
							func() error { _, err := g.Write(append([]byte(before), guess...)); return err },
							g.Pause,
							func() error { _, err := g.Write([]byte("#")); return err },
						} {
							if err := step(); err != nil {
								t.Fatal(err)
							}
							left[i] = out.Len()
						}
						return left
					}
					if right, wrong := tell(one.right), tell(one.wrong); right != wrong {
						t.Fatalf("%s behind %d bytes: %d left of a right guess, %d of a wrong one", one.what, len(before), right, wrong)
					}
				}
			}
		}
	}
}

// What is not compressed says by its length what is held back of it.
func TestCodedTellsNothing(t *testing.T) {
	s := withSecret(t, sample)
	for _, before := range at(s) {
		for _, one := range guesses(sample) {
			tell := func(guess []byte) (left [2]int) {
				var body, out bytes.Buffer
				w, err := flate.NewWriter(&body, flate.NoCompression)
				if err != nil {
					t.Fatal(err)
				}
				for _, part := range [][]byte{[]byte(before), guess, []byte("#")} {
					if _, err := w.Write(part); err != nil {
						t.Fatal(err)
					}
					if err := w.Flush(); err != nil {
						t.Fatal(err)
					}
				}
				c, err := s.Coded("deflate", &out, func(Finding) Verdict { return Pass })
				if err != nil {
					t.Fatal(err)
				}
				defer c.Stop()
				if _, err := c.Write(body.Bytes()); err != nil {
					t.Fatal(err)
				}
				left[0] = out.Len()
				if err := c.Pause(); err != nil {
					t.Fatal(err)
				}
				left[1] = out.Len()
				return left
			}
			if right, wrong := tell(one.right), tell(one.wrong); right != wrong {
				t.Fatalf("%s behind %d bytes: %d left of a right guess, %d of a wrong one", one.what, len(before), right, wrong)
			}
		}
	}
}
