// Package provision describes the files that a bottle starts with, as plain
// values, and writes them below a directory without following links. What
// they say is the harness's and the manifest's business.
package provision

import "io/fs"

// Root says below which of the run's directories a file goes.
type Root string

// Home is the agent's home; Etc holds files that platforms mount one by one
// (passwd, group, resolv.conf, hosts, certificates).
const (
	Home Root = "home"
	Etc  Root = "etc"
)

// File is one file to be written, owned by the run's uid.
type File struct {
	Root Root        `json:"root"`
	Path string      `json:"path"` // slash-separated, relative, clean
	Mode fs.FileMode `json:"mode"` // permission bits
	Data []byte      `json:"data"`
}

// Tree is one directory of the host, copied as it is at launch (a skill).
type Tree struct {
	Root   Root   `json:"root"`
	Path   string `json:"path"`
	Source string `json:"source"` // absolute, on the host
}
