package bottle

import (
	"slices"

	"claude-bottle/internal/environ"
	"claude-bottle/internal/provision"
)

// rootsFile is the manifest's extra roots, below EtcMount.
const rootsFile = "claude-bottle/roots.pem"

// rootsSetup makes programs inside trust the extra roots beside those of the
// image, whatever the image is. Node.js adds the file to its own roots.
// OpenSSL (python's ssl, curl), Go and git's libcurl read the file and, beside
// it, their built-in directory /etc/ssl/certs, so the image's roots stay
// trusted. SSL_CERT_DIR stays unset: curl ignores the file when it is set.
// Variables that the manifest sets win.
func rootsSetup(roots string, env []environ.Entry) ([]provision.File, []environ.Entry) {
	if roots == "" {
		return nil, nil
	}
	file := EtcMount + "/" + rootsFile
	var added []environ.Entry
	for _, variable := range []struct{ name, value string }{
		{"NODE_EXTRA_CA_CERTS", file},
		{"SSL_CERT_FILE", file},
		{"GIT_SSL_CAINFO", file},
	} {
		if !hasEntry(env, variable.name) {
			added = append(added, environ.Entry{Name: variable.name, Kind: environ.Literal, Value: variable.value})
		}
	}
	files := []provision.File{{Root: provision.Etc, Path: rootsFile, Mode: 0o644, Data: []byte(roots)}}
	return files, added
}

func hasEntry(env []environ.Entry, name string) bool {
	return slices.ContainsFunc(env, func(e environ.Entry) bool { return e.Name == name })
}
