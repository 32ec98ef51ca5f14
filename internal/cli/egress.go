package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/audit"
	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// recordFile is the record in a run's record directory.
const recordFile = "egress.jsonl"

type egressOptions struct {
	*App
	Run      string
	Follow   bool
	Denied   bool
	Counters bool
	Format   format
}

func newEgress(app *App) *cobra.Command {
	opts := &egressOptions{App: app}
	cmd := &cobra.Command{
		Use:   "egress RUN",
		Short: "Show what a run reached for, and what was decided",
		Long: `Show every host that a run reached for, with totals, and for what was refused the
reason. With --follow show each decision as it is made, until Ctrl-C or the end
of the run.

With --format json print the record's own lines, one a decision. With --counters
print what the gateway of a running bottle counts, in Prometheus' text format:
decisions, bytes, connections, and the time that it adds.`,
		Args:              argsNamed("a run"),
		ValidArgsFunction: app.completeRuns(anyRun, oneArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			opts.Run = args[0]
			if opts.Counters && (opts.Follow || opts.Denied || cmd.Flags().Changed("format")) {
				return usagef(cmd, "--counters is not about the record, and goes with no other flag")
			}
			return runEgress(cmd.Context(), opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&opts.Follow, "follow", "f", false, "go on as the record grows")
	flags.BoolVar(&opts.Denied, "denied", false, "only what was refused")
	opts.Format.flag(cmd)
	flags.BoolVar(&opts.Counters, "counters", false, "what the gateway counts, for Prometheus")
	return cmd
}

func runEgress(ctx context.Context, opts *egressOptions) error {
	if opts.Counters {
		return opts.printCounters(ctx)
	}
	h, info, err := opts.find(ctx, opts.Run)
	if err != nil {
		return err
	}
	path := filepath.Join(h.store.Dir(info.ID), bottle.RecordDir, recordFile)
	if opts.Follow {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		go opts.endWith(ctx, h, info.ID, cancel)
		return audit.Follow(ctx, path, opts.each(opts.printEvent))
	}
	if opts.Format == formatJSON {
		_, err := audit.Read(path, opts.each(opts.printEvent))
		return err
	}
	return opts.summarise(path)
}

// printCounters asks the gateway, which counts no longer once the run has ended.
func (opts *egressOptions) printCounters(ctx context.Context) error {
	c, err := opts.controlled(ctx, opts.Run)
	if err != nil {
		return err
	}
	client, err := c.conversation(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	text, err := client.Counters(ctx)
	if err != nil {
		return err
	}
	_, err = io.WriteString(opts.Out, text)
	return err
}

// each calls print with the events that are asked for.
func (opts *egressOptions) each(print func(audit.Event) error) func(audit.Event) error {
	return func(e audit.Event) error {
		if opts.Denied && e.Decision != audit.Denied {
			return nil
		}
		return print(e)
	}
}

// endWith ends a following when the run has ended and what it recorded last
// has been read.
func (opts *egressOptions) endWith(ctx context.Context, h *host, id runs.ID, end func()) {
	probe := time.NewTicker(500 * time.Millisecond)
	defer probe.Stop()
	for alive := true; alive; {
		select {
		case <-ctx.Done():
			return
		case <-probe.C:
			info, _, err := h.store.Load(id)
			alive = err == nil && info.State != runs.Stopped
		}
	}
	select {
	case <-ctx.Done():
	case <-probe.C: // Follow looks more often than this
	}
	end()
}

func (opts *egressOptions) printEvent(e audit.Event) error {
	if opts.Format == formatJSON {
		return term.JSON(opts.Out, e, "")
	}
	if e.Kind == audit.Isolation {
		_, err := fmt.Fprintf(opts.Out, "%s %-5s isolation: %s\n", e.Time.Local().Format(time.TimeOnly), e.Decision, term.Escape(e.Reason))
		return err
	}
	what := e.Host
	if e.Port != 0 {
		what += ":" + strconv.Itoa(e.Port)
	}
	if e.Method != "" {
		what = e.Method + " " + what + e.Path
	}
	detail := e.Rule
	if e.Decision != audit.Allowed || e.Kind == audit.Found || e.Kind == audit.Change { // of a change, who made it
		detail = e.Reason
	}
	if e.Phase == audit.Close && e.Decision != audit.Denied {
		detail = fmt.Sprintf("closed after %.1f s, %s sent, %s received", e.Duration, byteSize(e.Sent), byteSize(e.Received))
	}
	_, err := fmt.Fprintf(opts.Out, "%s %-5s %-7s %s (%s)\n",
		e.Time.Local().Format(time.TimeOnly), e.Decision, e.Kind, term.Escape(what), term.Escape(detail))
	return err
}

// summarise prints one row a host and the totals.
func (opts *egressOptions) summarise(path string) error {
	var summary audit.Summarizer
	bad, err := audit.Read(path, opts.each(func(e audit.Event) error {
		summary.Add(e)
		return nil
	}))
	if err != nil {
		return err
	}
	rows := summary.Rows()
	table := term.NewTable("HOST", "REQUESTS", "LOOKUPS", "DENIED", "FAILED", "SENT", "RECEIVED", "WHY DENIED")
	var all audit.Summary
	for _, row := range rows {
		table.Row(row.Host, strconv.Itoa(row.Requests), strconv.Itoa(row.Lookups), strconv.Itoa(row.Denied),
			strconv.Itoa(row.Failed), byteSize(row.Sent), byteSize(row.Received), row.Reason)
		all.Requests += row.Requests
		all.Lookups += row.Lookups
		all.Denied += row.Denied
		all.Failed += row.Failed
		all.Sent += row.Sent
		all.Received += row.Received
	}
	if len(rows) > 1 {
		table.Row("total", strconv.Itoa(all.Requests), strconv.Itoa(all.Lookups), strconv.Itoa(all.Denied),
			strconv.Itoa(all.Failed), byteSize(all.Sent), byteSize(all.Received), "")
	}
	if bad > 0 {
		fmt.Fprintf(opts.Err, "warning: %s of the record could not be read\n", count(bad, "line", "lines"))
	}
	return table.Print(opts.Out, opts.style())
}
