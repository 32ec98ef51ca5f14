package gateway

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// sampleLine is a sample of Prometheus' text format 0.0.4: name, labels, value.
var sampleLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\]|\\[\\"n])*",?)*\})? (\S+)$`)

// bound is a bucket's label.
var bound = regexp.MustCompile(`,?le="([^"]*)"`)

// exposes says what is wrong with a text as Prometheus' servers read it: each
// family once, all of it together behind its HELP and TYPE, each sample once,
// and histograms whose buckets grow up to their count.
func exposes(text string) error {
	if !strings.HasSuffix(text, "\n") {
		return fmt.Errorf("the last line has no end")
	}
	types, samples := map[string]string{}, map[string]float64{}
	family := ""
	buckets := map[string]float64{} // the last one of each series
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, _, _ := strings.Cut(rest, " ")
			if _, twice := types[name]; twice {
				return fmt.Errorf("%s is there twice", name)
			}
			family, types[name] = name, ""
			continue
		}
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			if name != family || types[name] != "" || !slices.Contains([]string{"counter", "gauge", "histogram"}, kind) {
				return fmt.Errorf("%q is out of place", line)
			}
			types[name] = kind
			continue
		}
		parts := sampleLine.FindStringSubmatch(line)
		if parts == nil {
			return fmt.Errorf("%q is no sample", line)
		}
		value, err := strconv.ParseFloat(parts[3], 64)
		if err != nil {
			return err
		}
		key := parts[1] + parts[2]
		if _, twice := samples[key]; twice {
			return fmt.Errorf("%s is there twice", key)
		}
		samples[key] = value
		part := strings.TrimPrefix(parts[1], family)
		switch {
		case types[family] == "histogram" && part == "_bucket":
			series := family + bound.ReplaceAllString(parts[2], "")
			if value < buckets[series] {
				return fmt.Errorf("%s is less than the one before", key)
			}
			buckets[series] = value
		case types[family] == "histogram" && (part == "_sum" || part == "_count"):
		case types[family] == "" || types[family] == "histogram" || part != "":
			return fmt.Errorf("%s is not of %s", key, family)
		}
	}
	for series, last := range buckets {
		name, labels, _ := strings.Cut(series, "{")
		infinite := name + "_bucket{" + strings.TrimSuffix(labels, "}") + `,le="+Inf"}`
		if count, ok := samples[name+"_count{"+labels]; !ok || count != last || samples[infinite] != last {
			return fmt.Errorf("the buckets of %s do not end with its count", series)
		}
		if _, ok := samples[infinite]; !ok {
			return fmt.Errorf("%s has no last bucket", series)
		}
	}
	return nil
}
