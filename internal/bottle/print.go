package bottle

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/policy"
)

// mountsKey is what HostMount.For says of the manifest's own mounts.
const mountsKey = "mounts"

// summaryHosts is how many hosts the egress line names.
const summaryHosts = 3

// Print writes the preflight summary, which a person reads before saying yes:
// the lines of the tool that this one follows, in its order and wording, then
// what is new. It writes names, never values.
func (p Plan) Print(w io.Writer) error {
	var b strings.Builder
	line := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s : %s\n", label, fmt.Sprintf(format, args...))
	}
	b.WriteByte('\n')
	p.printKnown(&b, line)
	p.printAdded(line)
	for _, warning := range p.allWarnings() {
		fmt.Fprintf(&b, "warning: %s\n", printable(warning))
	}
	b.WriteByte('\n')
	_, err := io.WriteString(w, b.String())
	return err
}

type lineFunc func(label, format string, args ...any)

// printKnown writes the existing tool's lines.
func (p Plan) printKnown(w io.Writer, line lineFunc) {
	s := p.Spec
	line("agent", "%s", printable(s.Agent))
	if p.Docker != nil {
		line("image", "%s", printable(p.Docker.Image)+buildNote(p.Docker.Build))
	}
	if s.Cwd != "" {
		line("cwd", "%s -> %s%s", printable(s.Cwd), printable(s.Workspace), p.derivedNote())
	}
	line("container", "%s", printable(p.Name))
	line("stage dir", "%s", printable(p.Dir))
	fmt.Fprintf(w, "env (names only): %s\n", orNone(envNames(s.Env), ", "))
	line("skills", "%s", orNone(s.Skills, " "))
	if p.Docker != nil {
		line("docker runtime", "%s", printable(runtimeLabel(p.Docker.Runtime)))
	}
	line("bottle", "%s", printable(s.Bottle))
	line("  ssh hosts", "(none)")
	line("  egress", "%s", egressSummary(s.Egress))
	printRules(line, s.Egress)
	if p.Docker == nil || p.Docker.Pipelock == nil { // which scans by rules of its own
		printScan(line, s)
	}
	first := printable(s.PromptLine)
	if first == "" {
		first = "(empty)"
	}
	line("prompt", "%d chars; first line: %s", s.PromptLength, first)
	line("remote-control", "%s", map[bool]string{true: "enabled", false: "disabled"}[s.RemoteControl])
}

// printAdded writes the lines that the existing tool does not have.
func (p Plan) printAdded(line lineFunc) {
	s := p.Spec
	why := ""
	if p.Why != "" {
		why = " (" + printable(p.Why) + ")"
	}
	line("platform", "%s%s", printable(p.Platform), why)
	line("harness", "%s", harnessSummary(s))
	line("gateway", "%s", p.gatewaySummary())
	printSecrets(line, s.Env)
	printSources(line, s.Env)
	line("workspace", "%s/work -> %s", printable(p.Dir), printable(s.Workspace))
	line("user", "%d:%d, home %s", s.UID, s.GID, printable(s.Home))
	line("limits", "%s", s.Limits)
	if p.Native != nil {
		p.Native.print(line)
	}
	for _, mount := range p.Mounts {
		line("mount", "%s", mount.summary())
	}
}

// summary says what is seen inside, and where when that is not where it is.
func (m HostMount) summary() string {
	text := printable(m.Target) + ", read-only"
	if m.Source != m.Target {
		text += ", which is " + printable(m.Source)
	}
	if m.For != mountsKey {
		text += " (" + printable(m.For) + ")"
	}
	for _, hidden := range m.Hidden {
		text += ", without " + printable(hidden)
	}
	return text
}

// allWarnings are the spec's and the platform's, each once.
func (p Plan) allWarnings() []string {
	var all []string
	for _, warning := range slices.Concat(p.Spec.Warnings, p.Warnings) {
		if !slices.Contains(all, warning) {
			all = append(all, warning)
		}
	}
	return all
}

func (p Plan) derivedNote() string {
	if p.Docker == nil || p.Docker.Derived == "" {
		return ""
	}
	return " (derived: " + printable(p.Docker.Derived) + ")"
}

func (p Plan) gatewaySummary() string {
	text := "builtin"
	if p.Docker != nil && p.Docker.Pipelock != nil {
		text = "pipelock (" + printable(p.Docker.Pipelock.Image) + ")"
	}
	if p.Docker != nil && p.Docker.GatewayAddress.IsValid() {
		text += ", " + p.Docker.GatewayAddress.String()
	}
	if p.Spec.Egress.Proxy != "" {
		text += ", through " + printable(withoutUser(p.Spec.Egress.Proxy))
	}
	return text
}

func buildNote(build bool) string {
	if build {
		return " (will be built)"
	}
	return ""
}

// runtimeLabel has the existing tool's words for the two runtimes that it knows.
// Another one is there only as the engine's own default.
func runtimeLabel(runtime string) string {
	switch runtime {
	case "runsc":
		return "runsc (gVisor)"
	case "runc", "io.containerd.runc.v2":
		return "runc (default)"
	}
	return runtime + " (the engine's default)"
}

func harnessSummary(s Spec) string {
	if len(s.Argv) == 0 {
		return printable(s.Harness)
	}
	words := make([]string, len(s.Argv))
	for i, word := range s.Argv {
		words[i] = word
		if word == "" || strings.ContainsAny(word, " \t\n'\"") {
			words[i] = strconv.Quote(word)
		}
	}
	return printable(s.Harness) + ": " + shortened(strings.Join(words, " "), 200)
}

// egressSummary names the first hosts and counts all, those of rules too.
func egressSummary(e policy.Egress) string {
	var hosts []string
	for _, allow := range e.Allow {
		hosts = append(hosts, printable(allow.Host))
	}
	for _, rule := range e.Rules {
		if host := printable(rule.Host); !rule.Deny && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	count := strconv.Itoa(len(hosts)) + " hosts allowed"
	if len(hosts) == 0 {
		return count
	}
	if more := len(hosts) - summaryHosts; more > 0 {
		hosts = append(hosts[:summaryHosts], fmt.Sprintf("+%d more", more))
	}
	return count + " (" + strings.Join(hosts, ", ") + ")"
}

// printRules writes each rule, since what it says is nowhere else, and what
// holds for all of the egress.
func printRules(line lineFunc, e policy.Egress) {
	for _, rule := range e.Rules {
		text := rule.String()
		if rule.Inspect != "" {
			text += ", inspect " + rule.Inspect
		}
		if rule.Budget > 0 {
			text += ", at most " + byteSize(rule.Budget)
		}
		line("    rule", "%s", printable(text))
	}
	if e.Inspect != "" {
		line("    inspect", "%s", printable(e.Inspect))
	}
	if e.Unlisted != "" {
		line("    unlisted", "%s", printable(e.Unlisted))
	}
	if e.Budget > 0 {
		line("    budget", "%s sent in all", byteSize(e.Budget))
	}
}

func envNames(entries []environ.Entry) []string {
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Names()...)
	}
	return names
}

func orNone(items []string, separator string) string {
	if len(items) == 0 {
		return "(none)"
	}
	return printable(strings.Join(items, separator))
}

// String is the limits as the manifest writes them.
func (l Limits) String() string {
	var parts []string
	if l.Memory > 0 {
		parts = append(parts, "memory "+byteSize(l.Memory))
	}
	if l.CPUs > 0 {
		parts = append(parts, "cpus "+strconv.FormatFloat(l.CPUs, 'g', -1, 64))
	}
	if l.PIDs > 0 {
		parts = append(parts, "pids "+strconv.FormatInt(l.PIDs, 10))
	}
	if l.Disk > 0 {
		parts = append(parts, "disk "+byteSize(l.Disk))
	}
	if len(parts) == 0 {
		return "(platform's defaults)"
	}
	return strings.Join(parts, ", ")
}

// byteSize is n in the largest unit that divides it, a binary one first.
func byteSize(n int64) string {
	for _, unit := range []struct {
		name string
		size int64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n%unit.size == 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	for _, unit := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n%unit.size == 0 {
			return strconv.FormatInt(n/unit.size, 10) + unit.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
