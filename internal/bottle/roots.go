package bottle

import (
	"slices"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/provision"
)

// Files below EtcMount that programs inside take roots from.
const (
	// rootsFile holds what is trusted beside the usual roots: the manifest's
	// `ca`, and the run's authority where TLS is inspected.
	rootsFile = "claude-bottle/roots.pem"
	// trustFile holds all of them, trustStore for Java.
	trustFile  = "claude-bottle/trust.pem"
	trustStore = "claude-bottle/trust.jks"
)

// bundles are where distributions keep the roots of the system: Debian and
// Alpine, and Fedora. Programs that know no variable read them: GnuTLS and
// with it wget and apt.
var bundles = []string{"ssl/certs/ca-certificates.crt", "pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}

// rootsSetup makes programs inside trust the extra roots, and where TLS is
// inspected the run's authority, beside the usual ones. Each program that has a
// variable gets it, with a bundle that holds the usual roots too, since most
// variables replace them. Variables that the manifest sets win. The files are
// made at the launch; see [Inspect].
func rootsSetup(roots string, inspects bool, env []environ.Entry) []environ.Entry {
	if roots == "" && !inspects {
		return nil
	}
	extra, all := EtcMount+"/"+rootsFile, EtcMount+"/"+trustFile
	var added []environ.Entry
	for _, variable := range [][2]string{
		{"NODE_EXTRA_CA_CERTS", extra}, // beside those of Node.js
		{"DENO_CERT", extra},           // likewise
		{"SSL_CERT_FILE", all},         // OpenSSL, python, Go, Ruby, Rust
		{"CURL_CA_BUNDLE", all},
		{"GIT_SSL_CAINFO", all},
		{"REQUESTS_CA_BUNDLE", all},               // python's requests brings its own
		{"AWS_CA_BUNDLE", all},                    // so do AWS's libraries
		{"PIP_CERT", all},                         // so does pip
		{"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", all}, // and gRPC's C core
		{"JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=" + EtcMount + "/" + trustStore + " -Djavax.net.ssl.trustStoreType=JKS"},
	} {
		if !hasEntry(env, variable[0]) {
			added = append(added, environ.Entry{Name: variable[0], Kind: environ.Literal, Value: variable[1]})
		}
	}
	return added
}

func etcFile(path string, data []byte) provision.File {
	return provision.File{Root: provision.Etc, Path: path, Mode: 0o644, Data: data}
}

func hasEntry(env []environ.Entry, name string) bool {
	return slices.ContainsFunc(env, func(e environ.Entry) bool { return e.Name == name })
}
