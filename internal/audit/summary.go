package audit

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Summary is what a record says about one host.
type Summary struct {
	Host     string    `json:"host"`
	Requests int       `json:"requests"` // everything asked for, DNS questions apart
	Lookups  int       `json:"lookups"`  // DNS questions
	Denied   int       `json:"denied"`   // of both
	Failed   int       `json:"failed"`   // allowed, but upstream failed
	Sent     int64     `json:"sent"`     // bytes
	Received int64     `json:"received"`
	Last     time.Time `json:"last"`
	// Reason and Rule are those of the last refusal.
	Rule   string `json:"rule,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// maxHosts bounds a Summarizer: what a bottle makes up beyond that many names
// is summed up in one row, OtherHosts.
const maxHosts = 10_000

// OtherHosts is the host of the row for what maxHosts left no room for.
const OtherHosts = "(others)"

// Summarizer sums events up per host. The zero value is ready.
type Summarizer struct{ hosts map[string]*Summary }

// Add counts one event. A close line adds bytes to what its open line counted.
func (s *Summarizer) Add(e Event) {
	if e.Kind == Isolation || e.Kind == Change || e.Kind == Found {
		return
	}
	row := s.row(e.Host)
	if e.Time.After(row.Last) {
		row.Last = e.Time
	}
	row.Sent += max(e.Sent, 0)
	row.Received += max(e.Received, 0)
	times := 1 + max(e.Repeats, 0)
	if e.Phase != Close {
		if e.Kind == "dns" {
			row.Lookups += times
		} else {
			row.Requests += times
		}
	}
	switch e.Decision {
	case Denied:
		row.Denied += times
		row.Rule, row.Reason = e.Rule, e.Reason
	case Failed:
		row.Failed += times
	}
}

func (s *Summarizer) row(host string) *Summary {
	if s.hosts == nil {
		s.hosts = map[string]*Summary{}
	}
	if s.hosts[host] == nil && len(s.hosts) >= maxHosts {
		host = OtherHosts
	}
	row := s.hosts[host]
	if row == nil {
		row = &Summary{Host: host}
		s.hosts[host] = row
	}
	return row
}

// Rows are the hosts, those with most requests first.
func (s *Summarizer) Rows() []Summary {
	rows := make([]Summary, 0, len(s.hosts))
	for row := range maps.Values(s.hosts) {
		rows = append(rows, *row)
	}
	slices.SortFunc(rows, func(a, b Summary) int {
		return cmp.Or(cmp.Compare(b.Requests+b.Lookups, a.Requests+a.Lookups), cmp.Compare(a.Host, b.Host))
	})
	return rows
}
