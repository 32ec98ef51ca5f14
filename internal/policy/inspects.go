package policy

// Inspects says whether the gateway of e may have to see into TLS: it is told
// to, it puts a secret in there, or a rule decides by method or path, or says
// what becomes of secrets, which only an inspected connection shows.
func (e Egress) Inspects() bool {
	if len(e.Secrets) > 0 {
		return true
	}
	for _, r := range e.Rules {
		if r.Inspect == "always" || r.Inspect != "never" && (len(r.Methods)+len(r.Paths) > 0 || r.Scan != "") {
			return true
		}
	}
	return e.Inspect == "always"
}
