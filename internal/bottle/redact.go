package bottle

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"net/url"
	"slices"

	"claude-bottle/internal/policy"
	"claude-bottle/internal/provision"
)

// RedactedPlan is a Plan for other programs and for logs: no literal's value,
// no file's content, no proxy's password.
type RedactedPlan struct {
	Plan
	Spec RedactedSpec `json:"spec"` // in place of Plan.Spec, which is empty
}

// RedactedSpec has digests in place of the files.
type RedactedSpec struct {
	Spec
	Files []FileDigest `json:"files"` // in place of Spec.Files, which is empty
}

// FileDigest is a file without its content.
type FileDigest struct {
	Root   provision.Root `json:"root"`
	Path   string         `json:"path"`
	Mode   fs.FileMode    `json:"mode"`
	Size   int            `json:"size"`   // bytes
	Digest string         `json:"digest"` // "sha256:" and hexadecimal
}

// Redacted is p without anything that the preflight summary would not print.
func (p Plan) Redacted() RedactedPlan {
	spec := p.Spec
	p.Spec = Spec{}
	redacted := RedactedPlan{Plan: p, Spec: RedactedSpec{Files: []FileDigest{}}}
	for _, file := range spec.Files {
		redacted.Spec.Files = append(redacted.Spec.Files, FileDigest{
			Root: file.Root, Path: file.Path, Mode: file.Mode,
			Size: len(file.Data), Digest: digest(file.Data),
		})
	}
	spec.Files = nil
	spec.Env = slices.Clone(spec.Env)
	for i := range spec.Env {
		spec.Env[i].Value = ""
	}
	if spec.Egress.Roots != "" {
		spec.Egress.Roots = digest([]byte(spec.Egress.Roots))
	}
	spec.Egress.Proxy = withoutUser(spec.Egress.Proxy)
	spec.Env, spec.Skills, spec.Trees = listed(spec.Env), listed(spec.Skills), listed(spec.Trees)
	spec.Argv, spec.Warnings = listed(spec.Argv), listed(spec.Warnings)
	spec.Egress.Allow = listed(spec.Egress.Allow)
	redacted.Warnings = listed(redacted.Warnings)
	redacted.Spec.Spec = spec
	return redacted
}

// listed is list, or an empty one in place of none, which JSON writes as null.
func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// withoutUser is a URL without its user and password. What does not parse is
// not shown at all, since a password could be anywhere in it.
func withoutUser(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		return "(set)"
	}
	return u.Scheme + "://" + policy.Spelled(u.Host)
}
