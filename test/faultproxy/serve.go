package faultproxy

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// conversation is one client's connection with its own to the engine.
type conversation struct {
	proxy          *Proxy
	client, engine net.Conn
	from           *bufio.Reader // what the client says
	back           *bufio.Reader // what the engine says
}

// serve passes on one request after the other.
func (p *Proxy) serve(client net.Conn) {
	defer p.track(client)()
	engine, err := net.Dial("unix", p.to()) //nolint:noctx // ends with Down
	if err != nil {
		return
	}
	defer p.track(engine)()
	c := &conversation{proxy: p, client: client, engine: engine, from: bufio.NewReader(client), back: bufio.NewReader(engine)}
	for {
		request, err := http.ReadRequest(c.from)
		if err != nil || !c.pass(request) {
			return
		}
	}
}

// pass handles one request; false when the connection ends with it.
func (c *conversation) pass(request *http.Request) bool {
	rule := c.proxy.rule(request)
	if rule.Fault == Late {
		c.late(request, rule)
		return false
	}
	c.proxy.wait(rule.Delay)
	switch rule.Fault {
	case Answer:
		return c.answer(request, rule) == nil
	case CutBefore:
		return false
	case Hang:
		_, _ = io.Copy(io.Discard, request.Body)
		c.hang()
		return false
	case Hold:
		rule.Held()
	case Pass, CutAfter, Late:
	}
	next := c.forward(request)
	response, err := http.ReadResponse(c.back, request)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	if rule.Fault == CutAfter {
		// To its end: an import or a build is done when its answer is.
		if response.StatusCode != http.StatusSwitchingProtocols {
			_, _ = io.Copy(io.Discard, response.Body)
		}
		return false
	}
	if response.StatusCode == http.StatusSwitchingProtocols ||
		strings.Contains(response.Header.Get("Content-Type"), "raw-stream") {
		c.splice(response, next)
		return false
	}
	return response.Write(c.client) == nil && !response.Close && <-next
}

// late passes the request on when its client was told nothing, and is gone.
func (c *conversation) late(request *http.Request, rule Rule) {
	defer rule.Done()
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(body))
	_ = c.client.Close()
	rule.Held()
	if err := request.Write(c.engine); err != nil {
		return
	}
	response, err := http.ReadResponse(c.back, request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
}

// forward sends the request on, then watches for the client's going away,
// which must reach the engine. The channel tells, once, whether the client
// says more; of one that takes the connection over, the end of what it says is
// not its going away.
func (c *conversation) forward(request *http.Request) <-chan bool {
	next := make(chan bool, 1)
	c.proxy.all.Go(func() {
		err := request.Write(c.engine)
		if err == nil {
			_, err = c.from.Peek(1)
		}
		if err != nil && !takesOver.MatchString(request.URL.Path) {
			_ = c.engine.Close()
		}
		next <- err == nil
	})
	return next
}

// takesOver is true of requests that are answered by a stream both ways.
var takesOver = regexp.MustCompile(`/(containers/[^/]+/attach|exec/[^/]+/start)$`)

// hang waits for the client to go away, or for the proxy's end.
func (c *conversation) hang() {
	gone := make(chan struct{})
	c.proxy.all.Go(func() {
		defer close(gone)
		_, _ = c.from.Peek(1)
	})
	select {
	case <-gone:
	case <-c.proxy.ended:
	}
}

// splice passes a stream through that took the connection over, to the end of
// both directions.
func (c *conversation) splice(response *http.Response, more <-chan bool) {
	head := fmt.Sprintf("HTTP/1.1 %s\r\n", response.Status)
	if _, err := io.WriteString(c.client, head); err != nil {
		return
	}
	if err := response.Header.Write(c.client); err != nil {
		return
	}
	if _, err := io.WriteString(c.client, "\r\n"); err != nil {
		return
	}
	c.proxy.all.Go(func() {
		if <-more {
			_, _ = io.Copy(c.engine, c.from)
		}
		closeWrite(c.engine)
	})
	_, _ = io.Copy(c.client, c.back)
	closeWrite(c.client) // a client whose stream the engine has ended gets no more
}

func closeWrite(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
}

// answer answers in the engine's place.
func (c *conversation) answer(request *http.Request, rule Rule) error {
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return err
	}
	body, err := json.Marshal(map[string]string{"message": rule.Message})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.client, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		rule.Status, http.StatusText(rule.Status), len(body))
	if err == nil && request.Method != http.MethodHead {
		_, err = c.client.Write(body)
	}
	return err
}

// wait returns after d, or at the proxy's end.
func (p *Proxy) wait(d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.ended:
	}
}
