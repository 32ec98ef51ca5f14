package policy

import (
	"encoding/hex"
	"errors"
	"fmt"
)

// Scan says what becomes of a secret that is seen in what leaves in clear.
type Scan struct {
	// Mode is one of the constants of that name. Without one, the run's own
	// secrets are blocked, or redacted towards the hosts of the harness, and
	// credentials of others are let through and recorded.
	Mode string `json:"mode,omitempty"`
	// Allowed are SHA-256 hashes, in hexadecimal, of credentials that are none:
	// examples, test data. The run's own secrets are never among them.
	Allowed []string `json:"allowed,omitempty"`
}

// The modes of a scan.
const (
	ScanBlock  = "block"  // what holds a secret does not leave
	ScanRedact = "redact" // asterisks leave in its place, where that is possible
	ScanWarn   = "warn"   // it leaves, and is recorded
)

func isScan(mode string) bool {
	return mode == "" || mode == ScanBlock || mode == ScanRedact || mode == ScanWarn
}

func scanError(mode string) error {
	return fmt.Errorf("scan is block, redact or warn, not %q", clip(mode))
}

func (s Scan) check() error {
	var errs []error
	if !isScan(s.Mode) {
		errs = append(errs, scanError(s.Mode))
	}
	for _, hash := range s.Allowed {
		if sum, err := hex.DecodeString(hash); err != nil || len(sum) != 32 {
			errs = append(errs, fmt.Errorf("%q is no SHA-256 hash in hexadecimal", clip(hash)))
		}
	}
	return errors.Join(errs...)
}

// stricter says whether mode a lets less through than b.
func stricter(a, b string) bool {
	order := map[string]int{ScanWarn: 1, ScanRedact: 2, ScanBlock: 3}
	return order[a] > order[b]
}

// scanOf keeps the most specific entry that says something of scanning, and of
// two for the same hosts the stricter.
func (v *view) scanOf(e *entry) {
	if e.scan == "" {
		return
	}
	same := v.scan != nil && v.scan.below == e.below && v.scan.host == e.host
	if v.scan == nil || same && stricter(e.scan, v.scan.scan) {
		v.scan = e
	}
}

// scanning is what of an allowed request's decision concerns what is in it.
func (v *view) scanning(d *Decision) {
	d.Scan, d.Wildcard, d.Harness = v.policy.scan.Mode, v.allow.below, v.harness
	if v.scan != nil {
		d.Scan = v.scan.scan
	}
}
