package wire

import (
	"encoding/json"
	"unsafe"
)

// Strings are strings of any bytes: arguments and variables need not be
// UTF-8, which JSON's strings must be, so each travels as base64.
type Strings []string

// MarshalJSON writes base64.
func (s Strings) MarshalJSON() ([]byte, error) {
	raw := make([][]byte, len(s))
	for i, text := range s {
		raw[i] = []byte(text)
	}
	return json.Marshal(raw)
}

// UnmarshalJSON reads base64. No copy of the text is made beside the strings
// themselves, so that who owns them can overwrite a secret.
func (s *Strings) UnmarshalJSON(data []byte) error {
	var raw [][]byte
	if err := json.Unmarshal(data, &raw); err != nil {
		return err
	}
	*s = make(Strings, len(raw))
	for i, text := range raw {
		(*s)[i] = unsafe.String(unsafe.SliceData(text), len(text)) //nolint:gosec // G103: nothing else holds text
	}
	return nil
}
