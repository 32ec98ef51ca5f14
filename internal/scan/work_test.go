package scan

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

// TestWorkTellsNothing counts what scanning does about a guess: how often it
// has to look twice at a window, under many keys. A text that begins as a value
// does in some encoding costs what any other costs; else who measures the time
// learns values character by character.
func TestWorkTellsNothing(t *testing.T) {
	const keys = 400
	for _, value := range []string{"s3cr3t/T0ken+value91", long} {
		s := withSecret(t, value)
		kinds := map[string][2]float64{}
		for range keys {
			s.keyed.begin()
			for kind, two := range workOf(s, value) {
				sum := kinds[kind]
				kinds[kind] = [2]float64{sum[0] + two[0], sum[1] + two[1]}
			}
		}
		for kind, sum := range kinds {
			right, wrong := sum[0], sum[1]
			if right+wrong < 20 {
				t.Errorf("%s: %v looks under %d keys say nothing", kind, right+wrong, keys)
			}
			// Six deviations of a difference of two counts.
			if limit := 6 * math.Sqrt(right+wrong); math.Abs(right-wrong) > limit {
				t.Errorf("%s: %v looks at right guesses, %v at wrong ones", kind, right, wrong)
			}
		}
	}
}

// workOf is how often windows are looked at twice, of right guesses and of
// wrong ones, by encoding. Guesses have fewer characters than a window.
func workOf(s *Scanner, value string) map[string][2]float64 {
	work := map[string][2]float64{}
	for kind, text := range encodings(value) {
		var sum [2]float64
		for _, n := range []int{3, 9, 15} {
			right := []byte(text[:n])
			wrong := bytes.Clone(right)
			wrong[n-1] = 'Q'
			for i, guess := range [][]byte{right, wrong} {
				t := s.Stream()
				t.Write(append([]byte("a text before, then "), append(guess, " and some more of it behind that, as long as the longest windows are"...)...))
				sum[i] += float64(t.twice)
			}
		}
		work[kind] = sum
	}
	return work
}

// A form is begun when a whole window of it was seen.
func TestLessThanAWindowBeginsNothing(t *testing.T) {
	for _, value := range []string{"s3cr3t/T0ken+value91", long} {
		s := withSecret(t, value)
		for kind, text := range encodings(value) {
			for n := range smallWindow {
				stream := s.Stream()
				found := stream.Write([]byte("x " + text[:n] + "~"))
				for level := range stream.layers {
					if l := &stream.layers[level]; len(found) > 0 || len(l.short.begun) > 0 || len(l.exact.begun) > 0 {
						t.Errorf("%d characters of %s: %v, %+v", n, kind, found, l.short)
					}
				}
			}
		}
	}
}

// BenchmarkGuess scans guesses over and over: how fast must not depend on
// whether they are right.
func BenchmarkGuess(b *testing.B) {
	const value = "Zq8wLx3vTn5kRb2mYc9pDf4hAb3dEf6hIj9kLm2n"
	s := scanner(b, Options{Values: []Value{{Name: "V", Kind: Secret, Bytes: []byte(value)}}, Rows: Table()})
	guess := func(name, text string) {
		b.Run(name, func(b *testing.B) {
			body := bytes.Repeat([]byte(text), 32<<10/len(text))
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				t := s.Stream()
				if found := t.Write(body); len(found) > 0 {
					b.Fatal(found)
				}
			}
		})
	}
	for kind, text := range map[string]string{"text": value, "base64": encodings(value)["base64 at 0"], "hex": encodings(value)["hex, lower"]} {
		for _, n := range []int{3, 8, 15} {
			right := []byte(text[:n])
			guess(fmt.Sprintf("%s/%d right", kind, n), string(right)+"#")
			for _, wrong := range []string{"Q", "V"} {
				right[n-1] = wrong[0]
				guess(fmt.Sprintf("%s/%d wrong (%s)", kind, n, wrong), string(right)+"#")
			}
		}
	}
}
