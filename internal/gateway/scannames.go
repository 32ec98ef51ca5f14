package gateway

import (
	"strings"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/scan"
)

// scanName looks at an allowed name before anything asks for it: what its
// labels say goes to whoever answers for the names below (TestNames). d is the
// decision about r.
func (s *server) scanName(r policy.Request, d policy.Decision) *refusal {
	x, err := s.watch.borrow()
	if err != nil {
		return blind(err)
	}
	defer x.giveBack()
	b := bearing{Decision: d, port: r.Port}
	asked := r
	asked.Host = d.Host
	x.add(inName, 0, "", d.Host)
	x.addJoined(d.Host)
	for _, f := range x.findings() {
		if _, refused := s.handle(asked, nil, sighting{Finding: f, at: inName}, b); refused != nil {
			return refused
		}
	}
	if !d.Wildcard || s.watch.knows(d.Host) || !scan.RandomName(d.Host) {
		return nil
	}
	return s.random(asked, b, "a name below "+parent(d.Host)+" that was not used before in this run looks like encoded data")
}

// reach looks at the query of an allowed request to a name that only a wildcard
// allows and that was not reached before, and remembers the name.
func (s *server) reach(p *passage, target string) *refusal {
	if p.decision.Wildcard && !s.watch.knows(p.host) {
		_, query, _ := strings.Cut(target, "?")
		if scan.RandomQuery(query) {
			refused := s.random(p.asked(), p.bearing(false), "the query of the first request to this name holds what looks like encoded data")
			if refused != nil {
				return refused
			}
		}
	}
	s.watch.learn(p.host)
	return nil
}

// random refuses what looks like encoded data, or notes it where the mode says
// warn. Listing the name by itself allows it.
func (s *server) random(r policy.Request, b bearing, reason string) *refusal {
	if b.Scan != policy.ScanWarn {
		d := policy.Decision{Host: b.Host, Rule: ruleScan, Reason: reason, Remedy: "egress: {allowlist: [" + b.Host + "]}"}
		refused := denied(d, b.port)
		return refused
	}
	if !s.watch.first(r.Host + reason) {
		return nil
	}
	return s.journal.append(audit.Event{
		Kind: audit.Found, Host: r.Host, Port: r.Port, Method: r.Method, Path: r.Path,
		Decision: audit.Allowed, Rule: ruleScan, Reason: "let through: " + reason,
	})
}

func parent(host string) string {
	_, rest, _ := strings.Cut(host, ".")
	return rest
}

// knows says whether a name was reached in this run.
func (w *watch) knows(host string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, known := w.known[host]
	return known
}

func (w *watch) learn(host string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) < maxKnown {
		w.known[host] = struct{}{}
	}
}

// scrub takes out of an event what nobody may read in a record: the bottle
// chose its host, method and path, and the reason quotes them
// (TestRecordHoldsNoSecret).
func (w *watch) scrub(e *audit.Event) error {
	x, err := w.borrow()
	if err != nil {
		return err
	}
	defer x.giveBack()
	texts := [...]*string{&e.Host, &e.Path, &e.Reason, &e.Method}
	for _, text := range texts {
		x.add(inURL, 0, "", *text)
	}
	x.addJoined(e.Path)
	x.addJoined(e.Host)
	for part, f := range x.findings() {
		switch part {
		case len(texts):
			e.Path = "/(not recorded: a secret in pieces)"
		case len(texts) + 1:
			labels := strings.Split(e.Host, ".")
			e.Host = "***." + strings.Join(labels[max(0, len(labels)-2):], ".")
		default:
			*texts[part] = starred(*texts[part], int(f.Offset), f.Length)
		}
	}
	return nil
}

// addJoined puts a path or a name into the text without what is between its
// parts.
func (x *examiner) addJoined(text string) {
	for _, c := range []byte(text) {
		if c != '/' && c != '.' {
			x.text = append(x.text, c)
		}
	}
	x.end(headPart{})
}

// starred is text with asterisks from from on, as far as they are in it.
func starred(text string, from, length int) string {
	to := min(from+length, len(text))
	from = max(from, 0)
	if from >= to {
		return text
	}
	return text[:from] + strings.Repeat("*", to-from) + text[to:]
}

// nameRefused is why a question about an allowed name is not answered.
func (d dnsServer) nameRefused(r policy.Request, decision policy.Decision) *refusal {
	if sealed := d.sealed.Load(); sealed != nil {
		one := *sealed
		one.decision.Host = decision.Host
		return &one
	}
	return d.scanName(r, decision)
}
