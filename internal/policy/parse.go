package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Parse reads an Egress from the JSON of a policy file. It is strict: an
// unknown field, a second value or anything after it is an error, since a
// rule that is misread is worse than none. It does not check what the fields
// say; [Compile] does.
func Parse(data []byte) (Egress, error) {
	var e Egress
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return Egress{}, fmt.Errorf("parse policy: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Egress{}, errors.New("parse policy: something follows the policy's closing brace")
	}
	return e, nil
}
