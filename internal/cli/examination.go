package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"claude-bottle/internal/bottle"
	"claude-bottle/internal/doctor"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/harness"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/preset"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/term"
)

// examiner is a platform whose engine can be looked at.
type examiner interface {
	Examine(ctx context.Context, needs doctor.Needs) doctor.Engine
}

// examination looks at what doctor judges. What several probes need is looked
// at once.
type examination struct {
	*App
	platform string
	state    func() doctor.StateDir
	host     func() (*host, error)
	manifest func() (*manifest.Manifest, error)

	looked sync.Once // guards engine
	engine *doctor.Engine
}

func newExamination(app *App, platform string) *examination {
	x := &examination{App: app, platform: platform, manifest: sync.OnceValues(app.manifest)}
	x.state = sync.OnceValue(func() doctor.StateDir {
		root, err := app.stateRoot()
		if err != nil {
			return doctor.StateDir{Problem: err.Error()}
		}
		return doctor.LookAtStateDir(root, app.UID)
	})
	x.host = sync.OnceValues(func() (*host, error) {
		x.state() // first: opening the store closes a directory that is open to others
		return app.host(platform)
	})
	return x
}

func (x *examination) probes() []doctor.Probe {
	one := func(look func(context.Context) doctor.Check) func(context.Context) []doctor.Check {
		return func(ctx context.Context) []doctor.Check { return []doctor.Check{look(ctx)} }
	}
	return []doctor.Probe{
		{Name: "engine", Look: x.lookAtEngine},
		{Name: "kernel", Look: x.lookAtKernel},
		{Name: "native", Look: x.lookAtNative},
		{Name: "state directory", Look: one(func(context.Context) doctor.Check { return doctor.JudgeStateDir(x.state()) })},
		{Name: "orphans", Look: one(x.lookAtRuns)},
		{Name: "clock", Look: one(x.lookAtClock)},
		{Name: "manifest", Look: x.lookAtManifest},
		{Name: "terminal", Look: one(x.lookAtTerminal)},
	}
}

// examined is the engine; nil for a platform that has none to look at.
func (x *examination) examined(ctx context.Context) *doctor.Engine {
	x.looked.Do(func() {
		h, err := x.host()
		if err != nil {
			x.engine = &doctor.Engine{Problem: err.Error(), Hint: hint.Of(err)}
			return
		}
		if with, ok := h.platform.(examiner); ok {
			engine := with.Examine(ctx, x.needs())
			x.engine = &engine
		}
	})
	return x.engine
}

// needs are the images that the manifest's agents need, or any agent would.
func (x *examination) needs() doctor.Needs {
	needs := doctor.Needs{Home: x.Getenv("CLAUDE_BOTTLE_CONTAINER_HOME"), Roots: map[string][]string{}}
	if needs.Home == "" {
		needs.Home = bottle.DefaultHome
	}
	m, err := x.manifest()
	if err != nil || len(m.Agents) == 0 {
		needs.Roots[""] = nil
		return needs
	}
	for _, name := range slices.Sorted(maps.Keys(m.Agents)) {
		roots := m.Bottles[m.Agents[name].Bottle].Egress.Roots
		needs.Roots[roots] = append(needs.Roots[roots], name)
	}
	return needs
}

// nativeExaminer is a platform without an engine.
type nativeExaminer interface {
	ExamineNative(ctx context.Context) doctor.Native
}

// lookAtNative is about bottles without a daemon, whichever kind is meant.
func (x *examination) lookAtNative(ctx context.Context) []doctor.Check {
	h, err := x.host()
	if err != nil {
		return nil
	}
	for _, p := range h.platforms {
		with, ok := p.(nativeExaminer)
		if !ok {
			continue
		}
		wanted := p == h.platform
		if engine := x.examined(ctx); h.open && engine != nil && engine.Problem != "" {
			wanted = true
		}
		return doctor.JudgeNative(with.ExamineNative(ctx), wanted)
	}
	return nil
}

// instead says that bottles are native where the choice is ours and no engine
// answers: then that is no failure.
func (x *examination) instead(ctx context.Context, checks []doctor.Check) []doctor.Check {
	h, err := x.host()
	if err != nil || !h.open {
		return checks
	}
	for _, p := range h.platforms {
		with, ok := p.(ready)
		if _, native := p.(nativeExaminer); !native || !ok || with.Ready(ctx) != nil {
			continue
		}
		for i := range checks {
			if checks[i].State == doctor.Fail {
				checks[i].State = doctor.Warn
				checks[i].Notes = append([]string{"bottles are native meanwhile"}, checks[i].Notes...)
			}
		}
	}
	return checks
}

func (x *examination) lookAtEngine(ctx context.Context) []doctor.Check {
	engine := x.examined(ctx)
	if engine == nil {
		name, _ := x.choose(x.platform)
		return []doctor.Check{{Name: "engine", State: doctor.OK, Detail: "the platform " + name + " has none"}}
	}
	if engine.Problem != "" {
		return x.instead(ctx, doctor.JudgeEngine(*engine))
	}
	return append(doctor.JudgeEngine(*engine), doctor.JudgeImages(engine.Images)...)
}

func (x *examination) lookAtKernel(ctx context.Context) []doctor.Check {
	kernel := doctor.LookAtKernel()
	if engine := x.examined(ctx); engine != nil {
		kernel.EngineRelease, kernel.Networked = engine.Kernel, engine.Networked
	}
	return doctor.JudgeKernel(kernel)
}

func (x *examination) lookAtRuns(ctx context.Context) doctor.Check {
	h, err := x.host()
	if err != nil {
		return doctor.JudgeRuns(doctor.Runs{Problem: err.Error()})
	}
	infos, err := h.store.List()
	if err != nil {
		return doctor.JudgeRuns(doctor.Runs{Problem: err.Error()})
	}
	var seen doctor.Runs
	for _, info := range infos {
		switch {
		case info.State == runs.Stopped:
			seen.Stopped++
		case info.State == runs.Damaged:
			seen.Damaged = append(seen.Damaged, string(info.ID))
		case h.store.Alive(info.ID):
			seen.Live++
		default:
			seen.Orphans = append(seen.Orphans, info.Name)
		}
	}
	if engine := x.examined(ctx); engine == nil || engine.Problem == "" {
		x.lookForLost(ctx, h, &seen)
	}
	return doctor.JudgeRuns(seen)
}

// lookForLost finds what the platforms have and no ledger knows.
func (x *examination) lookForLost(ctx context.Context, h *host, seen *doctor.Runs) {
	listed, err := h.platform.List(ctx)
	if err != nil {
		seen.LostProblem = err.Error()
	}
	for _, status := range listed {
		if _, _, err := h.store.Load(status.Run); errors.Is(err, runs.ErrNotFound) {
			seen.Lost = append(seen.Lost, status.Name)
		}
	}
}

func (x *examination) lookAtClock(ctx context.Context) doctor.Check {
	clock := doctor.Clock{Now: x.Now(), Synchronised: doctor.Synchronised()}
	// Of a build from a checkout the revision's time; else it is not known.
	clock.Build, _ = time.Parse(time.RFC3339, buildOf(x.Version).Time)
	if h, err := x.host(); err == nil {
		infos, _ := h.store.List() // orphans says why not
		for _, info := range infos {
			if info.Started.After(clock.Run) {
				clock.Run = info.Started
			}
		}
	}
	if engine := x.examined(ctx); engine != nil && engine.Problem == "" {
		clock.Engine, clock.Skew, clock.SkewWithin = true, engine.Skew, engine.SkewWithin
	}
	return doctor.JudgeClock(clock)
}

func (x *examination) lookAtTerminal(context.Context) doctor.Check {
	return doctor.JudgeTerminal(doctor.Terminal{
		In: term.IsTerminal(x.In), Out: term.IsTerminal(x.Out), Err: term.IsTerminal(x.Err),
		Name: x.Getenv("TERM"), UTF8: term.SpeaksUTF8(x.Getenv),
	})
}

// lookAtManifest is about the manifest, and what its agents need beside it.
func (x *examination) lookAtManifest(ctx context.Context) []doctor.Check {
	m, err := x.manifest()
	if err != nil {
		check := doctor.JudgeManifest(unread(err))
		return append([]doctor.Check{check}, doctor.JudgeHarnesses(x.harnesses(nil))...)
	}
	seen := doctor.Manifest{}
	for _, file := range m.Files {
		seen.Files = append(seen.Files, file.Path)
	}
	for _, warning := range m.Warnings {
		seen.Warnings = append(seen.Warnings, warning.String())
	}
	if project := m.Project(); project != nil {
		if store, err := x.trustStore(); err == nil && !store.Trusted(project.Path, project.Hash) {
			seen.Untrusted = project.Path
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Agents)) {
		seen.Agents = append(seen.Agents, x.lookAtAgent(ctx, m, name))
	}
	checks := append([]doctor.Check{doctor.JudgeManifest(seen)}, doctor.JudgeHarnesses(x.harnesses(m))...)
	return append(checks, doctor.JudgeRoots(rootsOf(m), x.Now())...)
}

// unread is a manifest that could not be read.
func unread(err error) doctor.Manifest {
	var wrong manifest.Errors
	switch {
	case errors.Is(err, manifest.ErrNone):
		return doctor.Manifest{Missing: true}
	case errors.As(err, &wrong):
		var lines []string
		for _, problem := range wrong {
			lines = append(lines, problem.String())
		}
		return doctor.Manifest{Errors: lines}
	}
	return doctor.Manifest{Errors: []string{err.Error()}}
}

// remembering is a platform whose image is not looked into: an examination makes
// nothing.
type remembering struct {
	bottle.Platform
	imaged
}

func (r remembering) Image(ctx context.Context, roots string) (preset.Image, error) {
	image, err := r.imaged.Image(ctx, roots)
	return image.Remembered(), err
}

// imaged is the platform of new bottles as far as its image is known; nil where
// no engine answers.
func (x *examination) imaged(ctx context.Context) bottle.Platform {
	h, err := x.host()
	if engine := x.examined(ctx); err != nil || engine == nil || engine.Problem != "" {
		return nil
	}
	if p, ok := h.platform.(imaged); ok {
		return remembering{h.platform, p}
	}
	return nil
}

// lookAtAgent resolves an agent as start would, up to the engine.
func (x *examination) lookAtAgent(ctx context.Context, m *manifest.Manifest, name string) doctor.Agent {
	agent := doctor.Agent{Name: name, Harness: m.Agents[name].Harness}
	host := bottle.Host{}
	var err error
	if host.Home, err = x.home(); err == nil {
		host.UID, host.GID = bottle.Person(x.UID, x.GID, x.Lookup)
		var presets preset.Table
		if presets, _, err = x.presets(ctx, m, name, x.imaged(ctx)); err == nil {
			_, err = bottle.Resolve(bottle.Input{Manifest: m, Agent: name, Lookup: x.Lookup, Host: host, Presets: presets})
		}
	}
	if err != nil {
		agent.Problem, agent.Hint = err.Error(), hint.Of(err)
	}
	return agent
}

// harnesses are those of the manifest's agents, and without a manifest all. Of
// variables only names are read, and whether they are set.
func (x *examination) harnesses(m *manifest.Manifest) []doctor.Harness {
	var found []doctor.Harness
	login := ""
	if root, err := x.stateRoot(); err == nil {
		login = x.keptLogin(root)
	}
	for _, name := range harness.Names() {
		row, _ := harness.Named(name)
		seen := doctor.Harness{Name: name}
		used := m == nil
		for _, agent := range agentsOf(m) {
			if agent.Harness == name {
				used = true
				seen.Manifest = seen.Manifest || brings(m.Bottles[agent.Bottle].Env, row.Tokens)
			}
		}
		if !used {
			continue
		}
		for _, token := range row.Tokens {
			seen.Variables = append(seen.Variables, token.From)
			if token.From == login {
				seen.Login = login
			}
			if x.Getenv(token.From) != "" {
				seen.Set = append(seen.Set, token.From)
			}
		}
		found = append(found, seen)
	}
	return found
}

func agentsOf(m *manifest.Manifest) map[string]manifest.Agent {
	if m == nil {
		return nil
	}
	return m.Agents
}

func brings(env []environ.Entry, tokens []harness.Token) bool {
	return slices.ContainsFunc(env, func(e environ.Entry) bool {
		return slices.ContainsFunc(tokens, func(t harness.Token) bool { return e.Name == t.Name || e.Name == t.From })
	})
}

// rootsOf are the files with extra roots, each once.
func rootsOf(m *manifest.Manifest) []doctor.Roots {
	files := map[string]string{}
	for _, b := range m.Bottles {
		if b.Egress.CA != "" {
			files[b.Egress.CA] = b.Egress.Roots
		}
	}
	var found []doctor.Roots
	for _, path := range slices.Sorted(maps.Keys(files)) {
		seen := doctor.Roots{Path: path}
		for rest := []byte(files[path]); ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			certificate, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				seen.Problem = fmt.Sprintf("certificate %d: %v", len(seen.Certificates)+1, err)
				break
			}
			seen.Certificates = append(seen.Certificates, doctor.Certificate{
				Subject: certificate.Subject.String(), Until: certificate.NotAfter,
			})
		}
		found = append(found, seen)
	}
	return found
}
