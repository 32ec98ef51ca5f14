package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	lower = "abcdefghijklmnopqrstuvwxyz"
	upper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digit = "0123456789"
	word  = lower + upper + digit
	hexes = digit + "abcdef"
)

// place is one planted credential.
type place struct {
	span
	kind string
}

// kinds make credentials as their providers do. They are written apart from
// the scanner's table, so that a mistake there is not made twice.
func kinds(r *rand.Rand) map[string]func() string {
	of := func(alphabet string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	checked := func(prefix string) func() string {
		return func() string { body := of(word, 30); return prefix + body + crc62(body) }
	}
	return map[string]func() string{
		"GitHub personal":     checked("ghp_"),
		"GitHub OAuth":        checked("gho_"),
		"GitHub server":       checked("ghs_"),
		"GitHub fine-grained": func() string { return "github_pat_" + of(word, 22) + "_" + of(word, 59) },
		"GitLab personal":     func() string { return "glpat-" + of(word, 20) },
		"npm":                 checked("npm_"),
		"PyPI":                func() string { return "pypi-AgEI" + of(word+"-_", 160) },
		"Docker":              func() string { return "dckr_pat_" + of(word, 27) },
		"AWS key ID":          func() string { return "AKIA" + of(upper+"234567", 16) },
		"AWS secret":          func() string { return "aws_secret_access_key = " + of(word+"+/", 40) },
		"Google API key":      func() string { return "AIza" + of(word+"-_", 35) },
		"Slack bot":           func() string { return "xoxb-" + of(digit, 12) + "-" + of(digit, 13) + "-" + of(word, 24) },
		"Slack webhook": func() string {
			return "https://hooks.slack.com/services/T" + of(upper+digit, 10) + "/B" + of(upper+digit, 10) + "/" + of(word, 24)
		},
		"Stripe":       func() string { return "sk_live_" + of(word, 24) },
		"Anthropic":    func() string { return "sk-ant-api03-" + of(word+"-_", 93) + "AA" },
		"OpenAI":       func() string { return "sk-proj-" + of(word+"-_", 74) + "T3BlbkFJ" + of(word+"-_", 74) },
		"Hugging Face": func() string { return "hf_" + of(lower+upper, 34) },
		"SendGrid":     func() string { return "SG." + of(word+"-_", 22) + "." + of(word+"-_", 43) },
		"DigitalOcean": func() string { return "dop_v1_" + of(hexes, 64) },
		"Vault":        func() string { return "hvs." + of(word+"-_", 95) },
		"Databricks":   func() string { return "dapi" + of(hexes, 32) },
		"Grafana": func() string {
			body := of(word, 32)
			return "glsa_" + body + "_" + fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(body)))
		},
		"Shopify": func() string { return "shpat_" + of(hexes, 32) },
		"JWT": func() string {
			part := base64.RawURLEncoding.EncodeToString
			return part([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + part([]byte(`{"sub":"`+of(digit, 10)+`"}`)) + "." + of(word+"-_", 43)
		},
		"private key": func() string {
			raw := make([]byte, 300)
			for i := range raw {
				raw[i] = byte(r.Uint32())
			}
			text := base64.StdEncoding.EncodeToString(raw)
			return "-----BEGIN PRIVATE KEY-----\n" + text[:64] + "\n" + text[64:128] + "\n" + text[128:192] + "\n-----END PRIVATE KEY-----"
		},
	}
}

func crc62(body string) string {
	const alphabet = digit + upper + lower
	n, sum := crc32.ChecksumIEEE([]byte(body)), make([]byte, 6)
	for i := 5; i >= 0; i-- {
		sum[i], n = alphabet[n%62], n/62
	}
	return string(sum)
}

// corpus is code with credentials between its lines, as people leave them.
func corpus(seed uint64, code []byte) ([]byte, []place) {
	r := rand.New(rand.NewPCG(seed, 1))
	around := []string{"\ttoken := \"%s\"\n", "export TOKEN=%s\n", "  \"secret\": \"%s\",\n", "// see %s\n", "curl -H 'Authorization: Bearer %s' https://api.example.com/\n"}
	makers := kinds(r)
	var out bytes.Buffer
	var places []place
	for i, line := range bytes.SplitAfter(code[:2<<20], []byte("\n")) {
		out.Write(line)
		if i%50 != 0 {
			continue
		}
		names := slices.Sorted(maps.Keys(makers))
		name := names[(i/50)%len(names)]
		secret := makers[name]()
		before, behind, _ := strings.Cut(around[r.IntN(len(around))], "%s")
		out.WriteString(before)
		places = append(places, place{span{out.Len(), out.Len() + len(secret)}, name})
		out.WriteString(secret + behind)
	}
	return out.Bytes(), places
}

// source is the first n bytes of a tree's Go files.
func source(root string, n int) ([]byte, error) {
	var all []byte
	err := filepath.WalkDir(filepath.Join(root, "src"), func(path string, d fs.DirEntry, err error) error {
		// Tests hold keys and tokens on purpose.
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || len(all) > n {
			return err
		}
		text, err := os.ReadFile(path)
		all = append(all, text...)
		return err
	})
	if len(all) < n && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return all[:min(n, len(all))], err
}

func randomBytes(seed uint64, n int) []byte {
	var key [32]byte
	key[0] = byte(seed)
	data := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(data)
	return data
}

// digests are what looks random in a project and is none: lock files, commit
// ids, UUIDs, images in base64.
func digests(seed uint64, n int) []byte {
	raw := randomBytes(seed+1, n)
	var out bytes.Buffer
	for i := 0; out.Len() < n; i += 64 {
		b := raw[i : i+64]
		fmt.Fprintf(&out, "  \"integrity\": \"sha512-%s\",\n  \"sha\": \"%s\",\n", base64.StdEncoding.EncodeToString(b), hex.EncodeToString(b[:20]))
		fmt.Fprintf(&out, "id: %x-%x-%x-%x-%x\nimg: data:image/png;base64,%s\n", b[:4], b[4:6], b[6:8], b[8:10], b[10:16], base64.StdEncoding.EncodeToString(b))
	}
	return out.Bytes()
}

// locate is where text is in data.
func locate(data []byte, text string) []span {
	var all []span
	for at := 0; text != ""; {
		i := bytes.Index(data[at:], []byte(text))
		if i < 0 {
			break
		}
		all = append(all, span{at + i, at + i + len(text)})
		at += i + len(text)
	}
	return all
}

// recall is how many of places a finding touches.
func recall(found []span, places []place) int {
	n := 0
	for _, p := range places {
		if slices.ContainsFunc(found, func(f span) bool { return f.from < p.to && p.from < f.to }) {
			n++
		}
	}
	return n
}

// missed prints the kinds that s does not always find.
func missed(out io.Writer, s scanner, data []byte, places []place) {
	found := s.scan(data)
	byKind := map[string][]place{}
	for _, p := range places {
		byKind[p.kind] = append(byKind[p.kind], p)
	}
	for _, kind := range slices.Sorted(mapKeys(byKind)) {
		if n := recall(found, byKind[kind]); n < len(byKind[kind]) {
			fmt.Fprintf(out, "%s misses: %s, %d of %d\n", s.name, kind, len(byKind[kind])-n, len(byKind[kind]))
		}
	}
}

func mapKeys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
