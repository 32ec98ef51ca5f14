package gateway

import (
	"io"
	"log"
)

// quietly has net/http say nothing: of an origin that speaks unasked it would
// print what that said, in which a secret may be, to what becomes the run's log
// (TestUnaskedAnswerIsNotLogged). What matters of it is in the record.
func quietly() { log.SetOutput(io.Discard) }
