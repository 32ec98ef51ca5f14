package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// report is the table that is printed in the end.
type report struct {
	Machine string `json:"machine"`
	// Load is the machine's load average at the beginning and at the end.
	Load   [2]string `json:"load"`
	Rows   []row     `json:"rows"`
	Traces []trace   `json:"traces,omitempty"`
}

// row is one measurement. The limit is of the median.
type row struct {
	What  string `json:"what"`
	Reach string `json:"reach,omitempty"` // for people
	// Met is missing where there is nothing to reach.
	Met    *bool   `json:"met,omitempty"`
	Unit   string  `json:"unit"` // "ms", "MB", "MiB" or "" for a ratio
	Median float64 `json:"median"`
	// Half of all values lie between the two quartiles.
	Quartiles [2]float64 `json:"quartiles"`
	Low       float64    `json:"low"`
	High      float64    `json:"high"`
	Runs      int        `json:"runs"`
	Note      string     `json:"note,omitempty"`
}

// add adds a row of all values measured, in unit. most is what the median may
// be at most; 0 means that there is nothing to reach.
func (r *report) add(what, unit string, most float64, values []float64, note string) {
	slices.Sort(values)
	line := row{
		What: what, Unit: unit, Median: median(values), Quartiles: quartiles(values),
		Low: values[0], High: values[len(values)-1], Runs: len(values), Note: note,
	}
	if most > 0 {
		met := line.Median <= most
		line.Met, line.Reach = &met, "<= "+number(most, unit)
	}
	r.Rows = append(r.Rows, line)
}

// atLeast is add of a row whose median must be least or more.
func (r *report) atLeast(what string, least float64, values []float64, note string) {
	r.add(what, "", 0, values, note)
	line := &r.Rows[len(r.Rows)-1]
	met := line.Median >= least
	line.Met, line.Reach = &met, ">= "+number(least, "")
}

// compare adds the ratio of ours to the peer's, round by round, with both
// medians beside it.
func (r *report) compare(what string, most float64, ours, peers []time.Duration) {
	note := fmt.Sprintf("%s of %s", number(median(milliseconds(ours)), "ms"), number(median(milliseconds(peers)), "ms"))
	r.compareAs(what, most, ours, peers, note)
}

// compareAs is compare with a note of its own.
func (r *report) compareAs(what string, most float64, ours, peers []time.Duration, note string) {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = float64(ours[i]) / float64(peers[i])
	}
	r.add(what, "", most, ratios, note)
}

func (r *report) write(w io.Writer, format string) error {
	if format == "json" {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	fmt.Fprintf(w, "%s\nload average %s at the beginning, %s at the end\n\n", r.Machine, r.Load[0], r.Load[1])
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WHAT\tTO REACH\tMEDIAN\tMIDDLE HALF\tLOWEST TO HIGHEST\tRUNS\tNOTE")
	for _, l := range r.Rows {
		reach := "-"
		if l.Met != nil {
			reach = l.Reach + " " + map[bool]string{true: "met", false: "MISSED"}[*l.Met]
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s to %s\t%s to %s\t%d\t%s\n", l.What, reach,
			number(l.Median, l.Unit), number(l.Quartiles[0], ""), number(l.Quartiles[1], ""),
			number(l.Low, ""), number(l.High, ""), l.Runs, l.Note)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, t := range r.Traces {
		if err := t.write(w); err != nil {
			return err
		}
	}
	return nil
}

// median wants sorted or unsorted values and leaves them as they are.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// quartiles are the medians of the lower and of the upper half; of few values
// the lowest and the highest.
func quartiles(sorted []float64) [2]float64 {
	if len(sorted) < 4 {
		return [2]float64{sorted[0], sorted[len(sorted)-1]}
	}
	half := len(sorted) / 2
	return [2]float64{median(sorted[:half]), median(sorted[len(sorted)-half:])}
}

func milliseconds(times []time.Duration) []float64 {
	values := make([]float64, len(times))
	for i, d := range times {
		values[i] = float64(d) / float64(time.Millisecond)
	}
	return values
}

// number shows a value with three digits that count, or two places.
func number(value float64, unit string) string {
	text := fmt.Sprintf("%.2f", value)
	switch {
	case math.Abs(value) >= 100:
		text = fmt.Sprintf("%.0f", value)
	case math.Abs(value) >= 10:
		text = fmt.Sprintf("%.1f", value)
	}
	if unit != "" {
		text += " " + unit
	}
	return text
}
