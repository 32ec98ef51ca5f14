package gateway

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"
)

// An answer that is complete in its length arrives although its stream does not
// end.
func TestInspectedEndIsLate(t *testing.T) {
	w := newWorld()
	f := inspectWorld(t, w, everything("a.example"))
	seen := make(chan struct{})
	saw := sync.OnceFunc(func() { close(seen) })
	defer saw()
	f.serve(w, "a.example", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "4")
		_, _ = io.WriteString(w, "here")
		_ = http.NewResponseController(w).Flush()
		<-seen
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", "https://a.example/", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := f.speak(protoHTTP2).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b := make([]byte, 4)
	if _, err := io.ReadFull(answer.Body, b); err != nil || string(b) != "here" {
		t.Errorf("%q, %v", b, err)
	}
	saw()
	if rest, err := io.ReadAll(answer.Body); err != nil || len(rest) > 0 {
		t.Errorf("then %q, %v", rest, err)
	}
}
