package bottle

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/manifest"
	"claude-bottle/internal/policy"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/scan"
	"claude-bottle/internal/wire"
)

// withScan adds to egress what becomes of secrets in what leaves. Who says it
// wants it seen: TLS is opened wherever nothing says otherwise.
func withScan(egress policy.Egress, from manifest.Bottle) policy.Egress {
	egress.Scan = policy.Scan{Mode: from.Scan.Mode, Allowed: from.Scan.Allow}
	if (from.Scan.Mode != "" || from.Scan.Canary) && egress.Inspect == "" && gatewayOf(from) == "" {
		egress.Inspect = policy.InspectAlways
	}
	return egress
}

// watch is what the gateway of a run looks for beside brokered secrets: those
// that are readable inside, and decoys, which are in the files that are
// returned, for Stage. Without a gateway of ours there is nothing to look.
func watch(spec Spec, secrets environ.Secrets) ([]wire.Watched, []provision.File) {
	if spec.Gateway != "" {
		return nil, nil
	}
	var all []wire.Watched
	for name, value := range readable(spec, secrets) {
		if len(value) >= scan.MinValue {
			all = append(all, wire.Watched{Name: name, Value: []byte(value)})
		}
	}
	if !spec.Canary {
		return all, nil
	}
	decoys, files := decoys(spec)
	return append(all, decoys...), files
}

// TooShort are the names of secrets that are readable inside and that no
// gateway can look for: what is shorter than scan.MinValue is found everywhere.
func TooShort(spec Spec, secrets environ.Secrets) []string {
	var names []string
	for name, value := range readable(spec, secrets) {
		if len(value) < scan.MinValue && spec.Gateway == "" {
			names = append(names, name)
		}
	}
	return names
}

// readable yields what is to be looked for of the secrets that are readable
// inside, however short.
func readable(spec Spec, secrets environ.Secrets) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for _, variable := range secrets.Env() {
			name, value, _ := strings.Cut(variable, "=")
			i := slices.IndexFunc(spec.Env, func(e environ.Entry) bool { return slices.Contains(e.Names(), name) })
			asked := i >= 0 && spec.Env[i].Kind == environ.Ask
			if text := telling(asked, name, value); text != "" && !yield(name, text) {
				return
			}
		}
	}
}

// telling is what of a value only the run knows, "" for nothing: a variable of
// the launcher's can as well be a path or a word that everybody writes.
func telling(asked bool, name, value string) string {
	switch u, err := url.Parse(value); {
	case err == nil && u.User != nil && u.Host != "":
		value, _ = u.User.Password()
	case asked, namesCredential(name):
	case err == nil && u.Scheme != "" && u.Host != "", !scan.RandomQuery(url.QueryEscape(value)):
		return ""
	}
	return value
}

// namesCredential says whether a variable is for a credential by its name.
func namesCredential(name string) bool {
	for word := range strings.SplitSeq(strings.ToLower(name), "_") {
		switch word {
		case "key", "apikey", "pass", "pwd", "pat", "auth", "jwt", "creds":
			return true
		}
		for _, part := range []string{"token", "secret", "passw", "passphrase", "credential"} {
			if strings.Contains(word, part) {
				return true
			}
		}
	}
	return false
}

// decoys are credentials that nobody has a use for, in two files that agents
// and programs look into and that no program uses by itself: a profile of AWS
// that is not the default, and settings of a deployment. The key's ID, which
// signing sends, is none.
func decoys(spec Spec) ([]wire.Watched, []provision.File) {
	key := rand.Text()
	var secret [30]byte
	_, _ = rand.Read(secret[:]) // never fails
	aws, password := base64.StdEncoding.EncodeToString(secret[:]), strings.ToLower(rand.Text())
	files := []provision.File{
		{Root: provision.Home, Path: ".aws/credentials", Mode: 0o600, Data: fmt.Appendf(nil,
			"[production]\naws_access_key_id = AKIA%s\naws_secret_access_key = %s\n", key[:16], aws)},
		{Root: provision.Home, Path: ".config/deploy/production.env", Mode: 0o600, Data: fmt.Appendf(nil,
			"DEPLOY_HOST=production.internal\nDEPLOY_PASSWORD=%s\n", password)},
	}
	watched := []wire.Watched{
		{Name: "~/.aws/credentials", Value: []byte(aws), Decoy: true},
		{Name: "~/.config/deploy/production.env", Value: []byte(password), Decoy: true},
	}
	for i := len(files) - 1; i >= 0; i-- { // what is the bottle's own stays
		same := func(f provision.File) bool { return f.Root == provision.Home && f.Path == files[i].Path }
		if slices.ContainsFunc(spec.Files, same) {
			files, watched = slices.Delete(files, i, i+1), slices.Delete(watched, i, i+1)
		}
	}
	return watched, files
}

// printScan writes what becomes of secrets in what leaves, and where nothing
// is seen of them.
func printScan(line lineFunc, s Spec) {
	if s.Gateway != "" {
		return
	}
	text := map[string]string{
		"": "own secrets are blocked, others recorded", policy.ScanBlock: "secrets are blocked",
		policy.ScanRedact: "secrets are redacted", policy.ScanWarn: "secrets are recorded",
	}[s.Egress.Scan.Mode]
	if n := len(s.Egress.Scan.Allowed); n > 0 {
		text += fmt.Sprintf(", but for %d by hash", n)
	}
	if s.Canary {
		text += ", decoys inside"
	}
	unseen, all := unscanned(s.Egress)
	switch {
	case len(unseen) > 0:
		text += fmt.Sprintf("; not seen in TLS or tcp to %d of %d hosts", len(unseen), all)
	case all > 0:
		text += "; seen to every host"
	}
	line("    scan", "%s", text)
	for _, rule := range s.Egress.Rules {
		if rule.Scan != "" {
			line("    scan", "%s: %s", rule.Scan, printable(rule.String()))
		}
	}
}

// unscanned are allowed hosts that nothing is seen of, and how many are
// allowed.
func unscanned(e policy.Egress) (unseen []string, all int) {
	compiled, err := policy.Compile(e)
	if err != nil {
		return nil, 0
	}
	var known []string
	for _, allow := range allowed(e) {
		if slices.Contains(known, allow.Host) {
			continue
		}
		known = append(known, allow.Host)
		name := strings.Replace(hostOf(allow.Host), "*", "any", 1)
		port := 443
		if allow.Port != 0 {
			port = allow.Port
		}
		d := compiled.Decide(policy.Request{Kind: policy.Connect, Host: name, Port: port})
		if d.Allow && !d.Inspect {
			unseen = append(unseen, allow.Host)
		}
	}
	return unseen, len(known)
}

// scanWarnings says where a scan that was asked for sees nothing.
func scanWarnings(egress policy.Egress, canary bool) []string {
	if egress.Scan.Mode == "" && !canary {
		return nil
	}
	unseen, _ := unscanned(egress)
	if len(unseen) == 0 {
		return nil
	}
	return []string{"scan: nothing is seen of what is sent to " + strings.Join(unseen, ", ") +
		" (TLS is not opened, or a tcp rule): egress.inspect: always has it scanned"}
}
