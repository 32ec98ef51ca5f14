package scan

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"hash/crc32"
)

// base62Digits is the alphabet of the checksums that GitHub's and npm's tokens
// end with.
const base62Digits = digit + upper + lower

// crcBase62 checks the last six characters of a credential of the form
// prefix, underscore, random, checksum: the CRC-32 of the random part in
// base62 with zeros before it.
func crcBase62(credential []byte) bool {
	const digits = 6
	_, body, ok := bytes.Cut(credential, []byte("_"))
	if !ok || len(body) <= digits {
		return false
	}
	random, sum := body[:len(body)-digits], body[len(body)-digits:]
	want := crc32.ChecksumIEEE(random)
	for i := digits - 1; i >= 0; i-- {
		if sum[i] != base62Digits[want%62] {
			return false
		}
		want /= 62
	}
	return want == 0
}

// jsonWebToken checks that the first two parts of a token in three (RFC 7519)
// are JSON objects and the first names an algorithm.
func jsonWebToken(credential []byte) bool {
	parts := bytes.Split(credential, []byte("."))
	if len(parts) != 3 {
		return false
	}
	var header struct {
		Alg string `json:"alg"`
	}
	return decodeJSON(parts[0], &header) && header.Alg != "" && header.Alg != "none"
}

func decodeJSON(part []byte, into any) bool {
	text, err := base64.RawURLEncoding.AppendDecode(nil, part)
	return err == nil && json.Unmarshal(text, into) == nil
}

// holds makes a check that a credential has text in it.
func holds(text string) func([]byte) bool {
	return func(credential []byte) bool { return bytes.Contains(credential, []byte(text)) }
}

// varied checks for at least one digit, one letter of each case, in what
// stands behind the last separator: a base64 key of forty characters has them,
// a path or a name does not.
func varied(credential []byte) bool {
	at := bytes.LastIndexAny(credential, spaces)
	var lowers, uppers, digits bool
	for _, b := range credential[at+1:] {
		lowers = lowers || 'a' <= b && b <= 'z'
		uppers = uppers || 'A' <= b && b <= 'Z'
		digits = digits || '0' <= b && b <= '9'
	}
	return lowers && uppers && digits
}
