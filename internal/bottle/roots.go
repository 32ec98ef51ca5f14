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
	// trustFile holds all of them, trustStore for Java. They are there only
	// where TLS is inspected.
	trustFile  = "claude-bottle/trust.pem"
	trustStore = "claude-bottle/trust.jks"
)

// bundles are where distributions keep the roots of the system: Debian and
// Alpine, and Fedora. Programs that know no variable read them: GnuTLS and
// with it wget and apt.
var bundles = []string{"ssl/certs/ca-certificates.crt", "pki/ca-trust/extracted/pem/tls-ca-bundle.pem"}

// rootsSetup makes programs inside trust the extra roots beside those of the
// image, whatever the image is. Node.js adds the file to its own roots.
// OpenSSL (python's ssl, curl), Go and git's libcurl read the file and, beside
// it, their built-in directory /etc/ssl/certs, so the image's roots stay
// trusted. SSL_CERT_DIR stays unset: curl ignores the file when it is set.
// Where TLS is inspected every program must trust the run's authority, so each
// that has a variable gets it, with a bundle that holds the usual roots too,
// since most variables replace them; see [Inspection]. Variables that the
// manifest sets win.
func rootsSetup(roots string, inspects bool, env []environ.Entry) ([]provision.File, []environ.Entry) {
	if roots == "" && !inspects {
		return nil, nil
	}
	extra, all := EtcMount+"/"+rootsFile, EtcMount+"/"+trustFile
	variables := [][2]string{
		{"NODE_EXTRA_CA_CERTS", extra},
		{"SSL_CERT_FILE", extra},
		{"GIT_SSL_CAINFO", extra},
	}
	if inspects {
		variables = [][2]string{
			{"NODE_EXTRA_CA_CERTS", extra}, // beside those of Node.js
			{"DENO_CERT", extra},           // likewise
			{"SSL_CERT_FILE", all},         // OpenSSL, python, Go, Ruby, Rust
			{"CURL_CA_BUNDLE", all},
			{"GIT_SSL_CAINFO", all},
			{"REQUESTS_CA_BUNDLE", all}, // python's requests brings its own
			{"AWS_CA_BUNDLE", all},      // so do AWS's libraries
			{"PIP_CERT", all},           // so does pip
			{"JAVA_TOOL_OPTIONS", "-Djavax.net.ssl.trustStore=" + EtcMount + "/" + trustStore + " -Djavax.net.ssl.trustStoreType=JKS"},
		}
	}
	var added []environ.Entry
	for _, variable := range variables {
		if !hasEntry(env, variable[0]) {
			added = append(added, environ.Entry{Name: variable[0], Kind: environ.Literal, Value: variable[1]})
		}
	}
	if inspects {
		return nil, added // the files hold the authority, which a launch makes
	}
	return []provision.File{etcFile(rootsFile, []byte(roots))}, added
}

func etcFile(path string, data []byte) provision.File {
	return provision.File{Root: provision.Etc, Path: path, Mode: 0o644, Data: data}
}

func hasEntry(env []environ.Entry, name string) bool {
	return slices.ContainsFunc(env, func(e environ.Entry) bool { return e.Name == name })
}
