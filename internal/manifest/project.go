package manifest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// ProjectFile is the manifest that came with the code in the working
// directory, as a person sees it who has to trust it.
type ProjectFile struct {
	Path string // absolute
	// Hash covers the manifest and every file it names; 64 hex digits.
	Hash string
	// Files are what the hash covers, absolute, the manifest first.
	Files []string
	// Changes says what it adds to home's manifest or changes in it, a line
	// each, with control bytes escaped. Empty when it changes nothing.
	Changes []string
}

// hash is SHA-256 over each file's absolute path, a NUL, its size in decimal,
// a NUL, and its bytes. The NULs and the size keep two lists of files from
// being one text.
func hash(files []Source) string {
	sum := sha256.New()
	for _, file := range files {
		fmt.Fprintf(sum, "%s\x00%d\x00", file.Path, len(file.data))
		_, _ = sum.Write(file.data)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func (l *loader) projectFile(changes []string) *ProjectFile {
	files := l.sources(Project)
	if len(files) == 0 {
		return nil
	}
	p := &ProjectFile{Path: files[0].Path, Hash: hash(files), Changes: changes}
	for _, file := range files {
		p.Files = append(p.Files, file.Path)
	}
	return p
}
