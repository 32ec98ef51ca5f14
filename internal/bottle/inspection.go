package bottle

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"claude-bottle/internal/ca"
	"claude-bottle/internal/environ"
	"claude-bottle/internal/hint"
	"claude-bottle/internal/provision"
	"claude-bottle/internal/runs"
	"claude-bottle/internal/wire"
)

// Inspection is what a run needs so that its gateway sees into TLS and the
// programs inside trust it, and the manifest's `ca`. The zero value is that of
// a run that inspects nothing and has no roots of its own. It holds the
// authority's key, so it is no part of a plan.
type Inspection struct {
	// CA is the run's authority, for the gateway's boot frame alone; the zero
	// value where nothing is inspected.
	CA ca.Pair
	// SystemRoots are the host's roots, which the gateway verifies with where
	// it inspects.
	SystemRoots string
	// Files are for Stage, beside the spec's. They hold certificates alone.
	Files []provision.File
}

// Equip makes what a launch has beside its plan: what its gateway inspects TLS
// by, and what it watches for. The files that belong to them become spec's.
func Equip(spec *Spec, id runs.ID, secrets environ.Secrets, getenv func(string) string) (Inspection, []wire.Watched, error) {
	inspection, err := inspect(*spec, id, func() (string, error) { return hostRoots(getenv, os.ReadFile) })
	if err != nil {
		return Inspection{}, nil, err
	}
	watched, decoys := watch(*spec, secrets)
	spec.Files = slices.Concat(spec.Files, inspection.Files, decoys)
	return inspection, watched, nil
}

// inspect makes the inspection of the run id, if its policy inspects anything,
// and the files that programs inside take roots from. hostRoots gives the
// host's roots as PEM; see [hostRoots].
func inspect(spec Spec, id runs.ID, hostRoots func() (string, error)) (Inspection, error) {
	inspects := spec.Egress.Inspects()
	if spec.Egress.Roots == "" && !inspects {
		return Inspection{}, nil
	}
	roots, err := hostRoots()
	if err != nil {
		return Inspection{}, err
	}
	var made Inspection
	extra := spec.Egress.Roots
	if inspects {
		if made.CA, err = ca.New(string(id), time.Now()); err != nil {
			return Inspection{}, err
		}
		made.SystemRoots = roots
		extra = joinPEM(extra, made.CA.Certificate)
	}
	all := joinPEM(roots, extra)
	store, err := javaTrustStore(all, time.Now())
	if err != nil {
		return Inspection{}, err
	}
	made.Files = []provision.File{
		etcFile(rootsFile, []byte(extra)), etcFile(trustFile, []byte(all)), etcFile(trustStore, store),
	}
	for _, bundle := range bundles {
		made.Files = append(made.Files, etcFile(bundle, []byte(all)))
	}
	return made, nil
}

// maxHostRoots bounds the host's roots, in bytes: they go into a boot frame
// of at most 1 MiB.
const maxHostRoots = 640 << 10

// errNoHostRoots says that nobody could be verified.
var errNoHostRoots = errors.New("this machine has no bundle of CA certificates, to which a rule that sees inside TLS and the manifest's `ca` add")

// hostRoots reads the CA certificates that this machine trusts: of the file
// that SSL_CERT_FILE names, else of the first bundle that is where systems
// keep theirs.
func hostRoots(getenv func(string) string, read func(path string) ([]byte, error)) (string, error) {
	paths := []string{
		"/etc/ssl/certs/ca-certificates.crt",                // Debian, Alpine, Arch
		"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora
		"/etc/pki/tls/certs/ca-bundle.crt",
		"/etc/ssl/ca-bundle.pem", // openSUSE
		"/etc/ssl/cert.pem",      // macOS, BSD
	}
	if named := getenv("SSL_CERT_FILE"); named != "" {
		paths = []string{named}
	}
	for _, path := range paths {
		data, err := read(path)
		if err != nil {
			continue
		}
		roots := certificates(data)
		if len(roots) > maxHostRoots {
			return "", fmt.Errorf("%s holds %d KiB of CA certificates, and at most %d fit", path, len(roots)>>10, maxHostRoots>>10)
		}
		if roots != "" {
			return roots, nil
		}
	}
	return "", hint.With(errNoHostRoots, "install the package ca-certificates, or name a bundle in SSL_CERT_FILE")
}
