package cli

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

type psOptions struct {
	*App
	Run    string
	All    bool
	Format format
}

func newPs(app *App) *cobra.Command {
	opts := &psOptions{App: app}
	cmd := &cobra.Command{
		Use:   "ps [RUN]",
		Short: "List running bottles, or show one run",
		Long: `List the bottles that are running; with --all also the runs that ended and whose
work is still there. With RUN (an id, the beginning of one, or a bottle's name)
show everything about that run.`,
		Args:              optionalArg("a run"),
		ValidArgsFunction: app.completeRuns(anyRun, oneArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				opts.Run = args[0]
				return runPsOne(cmd.Context(), opts)
			}
			return runPs(cmd.Context(), opts)
		},
	}
	cmd.Flags().BoolVarP(&opts.All, "all", "a", false, "list stopped runs too")
	opts.Format.flag(cmd)
	return cmd
}

func runPs(ctx context.Context, opts *psOptions) error {
	infos, err := opts.swept(ctx)
	if err != nil {
		return err
	}
	if !opts.All {
		infos = slices.DeleteFunc(infos, func(i runs.Info) bool { return i.State == runs.Stopped })
	}
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, nonNil(infos))
	}
	table := term.NewTable("RUN", "NAME", "AGENT", "PLATFORM", "STATE", "STARTED")
	for _, info := range infos {
		table.Row(string(info.ID), info.Name, info.Agent, info.Platform, stateOf(info), opts.ago(info.Started))
	}
	return table.Print(opts.Out, opts.style())
}

// stateOf is a run's state with what is known of its end.
func stateOf(info runs.Info) string {
	if info.State == runs.Stopped && info.ExitCode != nil {
		return fmt.Sprintf("%s (%d)", info.State, *info.ExitCode)
	}
	return string(info.State)
}

// shownRun is one run, for programs: its ledger's head and where its parts are.
type shownRun struct {
	runs.Info
	Dir       string          `json:"dir"`
	Work      string          `json:"work"`
	Record    string          `json:"record"`
	Resources []runs.Resource `json:"resources"`
}

func runPsOne(ctx context.Context, opts *psOptions) error {
	h, info, err := opts.find(ctx, opts.Run)
	if err != nil {
		return err
	}
	shown := shownRun{Info: info, Dir: h.store.Dir(info.ID), Resources: []runs.Resource{}}
	shown.Work = filepath.Join(shown.Dir, bottle.WorkDir)
	shown.Record = filepath.Join(shown.Dir, bottle.RecordDir)
	if info.State != runs.Damaged {
		if _, shown.Resources, err = h.store.Load(info.ID); err != nil {
			return err
		}
		shown.Resources = nonNil(shown.Resources)
	}
	if opts.Format == formatJSON {
		return writeJSON(opts.Out, shown)
	}
	return opts.printRun(shown)
}

func (a *App) printRun(shown shownRun) error {
	sheet := term.NewTable()
	add := func(label, value string) {
		if value != "" {
			sheet.Row(label+":", value)
		}
	}
	add("run", string(shown.ID))
	add("name", shown.Name)
	add("agent", shown.Agent)
	add("bottle", shown.Bottle)
	add("platform", shown.Platform)
	add("state", string(shown.State))
	add("problem", shown.Problem)
	if !shown.Started.IsZero() {
		add("started", shown.Started.Local().Format(time.DateTime)+" ("+a.ago(shown.Started)+")")
	}
	if !shown.Ended.IsZero() {
		add("ended", shown.Ended.Local().Format(time.DateTime)+" ("+a.ago(shown.Ended)+")")
	}
	if shown.ExitCode != nil {
		add("exit code", strconv.Itoa(*shown.ExitCode))
	}
	add("isolation", shown.Isolation)
	add("copied from", shown.Cwd)
	add("work", shown.Work)
	add("record", shown.Record)
	add("manifest", shown.Manifest)
	for i, resource := range shown.Resources {
		label := "resources:"
		if i > 0 {
			label = ""
		}
		sheet.Row(label, string(resource.Kind)+" "+resource.Name)
	}
	return sheet.Print(a.Out, a.style())
}
