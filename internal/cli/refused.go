package cli

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// maxOffered bounds how many refused hosts are listed at the end of a run.
const maxOffered = 30

// maxRemembered bounds what is remembered of a record.
const maxRemembered = 10_000

// refusedHost is a name that a run asked for and nothing lists.
type refusedHost struct {
	rule  policy.Rule
	times int
}

// offerRefused lists, once, the hosts that a run was refused because nothing
// lists them, and saves to the manifest those that the person chooses. Each is
// asked about once, whatever the answer. It is for people at a terminal, and
// changes nothing about how the run ended.
func (opts *startOptions) offerRefused(ctx context.Context, h *host, id runs.ID, bottleName string) {
	if !opts.canAsk() {
		return
	}
	all, more := refusedHosts(h.recordOf(id))
	if len(all) == 0 {
		return
	}
	store, err := opts.offeredStore(bottleName)
	if err != nil {
		opts.printError(err)
		return
	}
	hosts, known := store.fresh(all)
	if len(hosts) == 0 {
		opts.note("claude-bottle: refused as before: %s (claude-bottle egress %s --denied)", count(known+more, "host", "hosts"), id)
		return
	}
	fmt.Fprintln(opts.Err, "claude-bottle: refused, since nothing lists them:")
	for i, host := range hosts {
		fmt.Fprintf(opts.Err, "  %d  %s (%s)\n", i+1, term.Escape(host.rule.Text()), count(host.times, "time", "times"))
	}
	if left := more + known; left > 0 {
		fmt.Fprintf(opts.Err, "  and %d more: claude-bottle egress %s --denied\n", left, id)
	}
	line, err := opts.ask(ctx, "save to the manifest: [a]ll, numbers as 1,3, or [N]one?")
	if err != nil {
		fmt.Fprintln(opts.Err)
		return
	}
	if err := store.remember(hosts); err != nil {
		opts.printError(fmt.Errorf("remember what was asked: %w", err))
	}
	rules := chosen(hosts, line)
	if len(rules) == 0 {
		return
	}
	if err := opts.saveRules(bottleName, rules); err != nil {
		opts.printError(err)
	}
}

// chosen are the hosts that an answer means; one that is not understood means
// none.
func chosen(hosts []refusedHost, line string) []policy.Rule {
	var rules []policy.Rule
	line = strings.ToLower(strings.TrimSpace(line))
	if line == "a" || line == "all" {
		for _, host := range hosts {
			rules = append(rules, host.rule)
		}
		return rules
	}
	for word := range strings.FieldsFuncSeq(line, func(r rune) bool { return r == ',' || r == ' ' }) {
		n := 0
		if _, err := fmt.Sscanf(word, "%d", &n); err != nil || n < 1 || n > len(hosts) {
			return nil
		}
		rules = append(rules, hosts[n-1].rule)
	}
	return rules
}

// refusedHosts reads a record: the hosts that nothing lists, those that were
// asked for most first, and how many are left out. Names that could carry data
// are not offered.
func refusedHosts(record string) (hosts []refusedHost, more int) {
	type place struct {
		host string
		port int
	}
	asked := map[place]int{}
	_, err := audit.Read(record, func(e audit.Event) error {
		if e.Decision != audit.Denied || e.Rule != policy.RuleDefault || e.Phase == audit.Close || len(asked) >= maxRemembered {
			return nil
		}
		at := place{e.Host, e.Port}
		if at.port == 80 || at.port == 443 {
			at.port = 0
		}
		if _, err := netip.ParseAddr(e.Host); err != nil && policy.Askable(e.Host) {
			asked[at] += 1 + max(e.Repeats, 0)
		}
		return nil
	})
	if err != nil {
		return nil, 0
	}
	for at, times := range asked {
		hosts = append(hosts, refusedHost{policy.Rule{Host: at.host, Port: at.port}, times})
	}
	slices.SortFunc(hosts, func(a, b refusedHost) int {
		return cmp.Or(cmp.Compare(b.times, a.times), cmp.Compare(a.rule.Text(), b.rule.Text()))
	})
	more = max(len(hosts)-maxOffered, 0)
	return hosts[:len(hosts)-more], more
}
