package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"claude-bottle/internal/hint"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/term"
	"claude-bottle/internal/wire"
)

type approveOptions struct {
	*App
	Run string
}

func newApprove(app *App) *cobra.Command {
	opts := &approveOptions{App: app}
	return &cobra.Command{
		Use:   "approve [RUN]",
		Short: "Answer what a running bottle asks for",
		Long: `Wait for what a running bottle asks for and its manifest does not list, and answer
while the agent waits: once, for this run, for this run and the manifest too, or
no. It is for a second terminal, and for bottles whose manifest says
egress.unlisted: ask. While nobody runs it, what is not listed is refused at once.

A request is held for a minute, a name's look-up for some seconds; what was missed
can still be answered, for the next time. Nobody is asked about what a rule denies,
about addresses that are not public, or about names that look like data.`,
		Args:              optionalArg("a run"),
		ValidArgsFunction: app.completeRuns(running, oneArg),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				opts.Run = args[0]
			}
			return runApprove(cmd.Context(), opts)
		},
	}
}

func runApprove(ctx context.Context, opts *approveOptions) error {
	if !opts.canAsk() {
		return withCode(exitUsage, hint.With(errors.New("approve needs a terminal to ask on"), "claude-bottle allow RUN RULE needs none"))
	}
	c, err := opts.controlled(ctx, opts.Run)
	if err != nil {
		return err
	}
	opts.moveTo(c.info)
	client, err := c.conversation(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	news := make(chan wire.Question)
	attended := make(chan error, 1)
	go func() { // ends with ctx, or with the gateway
		defer close(news)
		there := func() { opts.note("claude-bottle: waiting for what %s asks for; Ctrl-C leaves", c.info.Name) }
		attended <- client.Attend(ctx, there, func(q wire.Question) error {
			select {
			case news <- q:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	presets := opts.searchPresets(ctx, opts.rememberedImage(ctx, c))
	err = (&approver{approveOptions: opts, run: c, client: client, presets: presets}).answer(ctx, news)
	cancel()
	presets.wait()
	if attending := <-attended; err == nil && attending != nil {
		err = attending
	}
	if errors.Is(err, errGatewayEnded) { // as runs do
		opts.note("claude-bottle: %s has ended", c.info.Name)
		return nil
	}
	if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// approver asks a person one question after the other.
type approver struct {
	*approveOptions
	run     controlled
	client  *wire.ControlClient
	presets *presetSearch
	shown   []proposal // of the question that is being asked
}

// answer asks about each question that comes, until there are no more. What
// comes while a person thinks waits its turn; what is over by then is left out.
func (a *approver) answer(ctx context.Context, news <-chan wire.Question) error {
	var open queue
	lines := make(chan answered)
	asking := false
	for {
		if !asking && len(open) > 0 {
			asking = true
			a.show(open)
			go func() { // ends with ctx, which ends the reading
				line, err := a.ask(ctx, "[o]nce, this [r]un, [s]ave to the manifest, or [N]o (r2: by the second rule)?")
				lines <- answered{line, err}
			}()
		}
		select {
		case q, ok := <-news:
			if !ok {
				return a.abandon(ctx, asking)
			}
			if open = open.with(q, asking); asking && q.Over && q.ID == open[0].ID {
				fmt.Fprintln(a.Err)
				a.note("claude-bottle: it was answered elsewhere; Enter goes on")
			}
		case got := <-lines:
			asking = false
			if err := a.hear(ctx, open[0], got); err != nil {
				return err
			}
			open = open[1:]
		}
	}
}

// abandon says why there are no more questions; in the middle of one nobody
// listens for its answer.
func (a *approver) abandon(ctx context.Context, asking bool) error {
	if asking {
		fmt.Fprintln(a.Err)
	}
	if ctx.Err() != nil { // the person leaves
		return ctx.Err()
	}
	return errGatewayEnded
}

// hear takes what was typed as the answer to a question, unless somebody else
// has answered it. Who leaves does so in the middle of a line.
func (a *approver) hear(ctx context.Context, q pending, got answered) error {
	switch {
	case got.err != nil:
		fmt.Fprintln(a.Err)
		return got.err
	case q.Over:
		return nil
	}
	return a.give(ctx, q.Question, got.line)
}

// answered is a line that a person typed.
type answered struct {
	line string
	err  error
}

var errGatewayEnded = errors.New("the bottle has ended")

// show says what the first question is about.
func (a *approver) show(open queue) {
	q := open[0].Question
	what := q.Host
	if q.Port != 0 {
		what += ":" + strconv.Itoa(q.Port)
	}
	if q.Kind == string(policy.DNS) {
		what = "the address of " + q.Host
	} else if q.Path != "" {
		what = q.Method + " " + what + shownPath(q.Path)
	}
	if q.Problem != "" {
		fmt.Fprintf(a.Err, "claude-bottle: that could not be done: %s\n", term.Escape(q.Problem))
	}
	fmt.Fprintf(a.Err, "claude-bottle: %s asks for %s (%s)\n", term.Escape(a.run.info.Agent), term.Escape(what), open.state())
	a.shown = proposals(q, a.presets.all())
	for i, one := range a.shown {
		fmt.Fprintf(a.Err, "  %d  %s\n", i+1, term.Escape(one.text()))
	}
}

// maxShownPath is how much of a path a person is shown, in bytes: a question
// whose beginning has left the screen is not read.
const maxShownPath = 200

// shownPath is a path as a question has it. What is beyond ASCII is encoded: a
// bottle could fill lines with what looks like nothing, and the next with what
// looks like a question of ours (TestQuestionsStayOnTheScreen).
func shownPath(path string) string {
	var shown strings.Builder
	for i := range len(path) {
		if shown.Len() >= maxShownPath {
			return shown.String() + "..."
		}
		if c := path[i]; c > ' ' && c < 0x7f {
			shown.WriteByte(c)
		} else {
			fmt.Fprintf(&shown, "%%%02X", c)
		}
	}
	return shown.String()
}

// give sends the answer that a line means. Whatever is not understood is no.
func (a *approver) give(ctx context.Context, q wire.Question, line string) error {
	answer := wire.Answer{ID: q.ID, Verdict: wire.Refuse, Who: a.who()}
	word := strings.ToLower(strings.TrimSpace(line))
	chosen := a.shown[0]
	if word != "" {
		if n, err := strconv.Atoi(word[1:]); err == nil && n >= 1 && n <= len(a.shown) {
			chosen, word = a.shown[n-1], word[:1]
		}
	}
	save := word == "s" || word == "save"
	switch {
	case word == "o" || word == "once":
		answer.Verdict = wire.Once
	case save || word == "r" || word == "run":
		answer.Verdict, answer.Rule = wire.ForRun, chosen.rule
		if err := a.allowRest(ctx, chosen); err != nil {
			a.printError(err) // the host that is asked for may be had all the same
		}
	}
	if err := a.client.Answer(answer); err != nil {
		return err
	}
	if !save {
		return nil
	}
	if err := a.save(chosen); err != nil {
		a.printError(err) // it holds for this run all the same
	}
	return nil
}

// allowRest allows the other hosts of a preset for this run: what is asked of
// one is often fetched from another.
func (a *approver) allowRest(ctx context.Context, chosen proposal) error {
	for _, rule := range chosen.rest {
		client, err := a.run.conversation(ctx)
		if err != nil {
			return err
		}
		_, err = client.Allow(ctx, wire.Allow{Rule: rule, Who: a.who()})
		client.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// save adds what was chosen to the manifest.
func (a *approver) save(chosen proposal) error {
	if chosen.preset != "" {
		return a.savePreset(a.run.info.Bottle, chosen.preset)
	}
	return a.saveRules(a.run.info.Bottle, []policy.Rule{chosen.rule})
}
