// Package messagesapi is a local server that speaks as much of the Messages
// API as a real coding agent needs: streaming answers as server-sent events,
// tool use, token counting. What it answers is scripted by what it is told
// ([Reply]), so a test or a person can drive an agent without a model.
//
// It is a test's part: it checks no credential, but remembers which one came.
package messagesapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
)

// Server answers requests. The zero value works.
type Server struct {
	// Reply makes the answer to a conversation; nil means [Script].
	Reply func(Conversation) Answer
	// Log, when set, gets a line for each request.
	Log *log.Logger

	mu       sync.Mutex // guards what follows
	requests []Request
	renewing Renewing
	granting Granting
}

// Granting makes of the code that a person pasted a token, as [LoginName] does;
// empty for a code that is not known.
type Granting func(code string) (token string)

// Grant has granting answer from now on; nil for nobody, as at first.
func (s *Server) Grant(granting Granting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granting = granting
}

// Renewing makes of a login's refresh token the next token and the next refresh
// token, for an hour; empty for a refresh token that is not known.
type Renewing func(refresh string) (token, next string)

// Renew has renewing answer from now on; nil for nobody, as at first.
func (s *Server) Renew(renewing Renewing) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.renewing = renewing
}

// Request is what the server remembers of one request.
type Request struct {
	Method, Path string
	// Key and Bearer are the credential as it came: the x-api-key header, and
	// the token of an Authorization header.
	Key, Bearer string
	// Known is false for a path that the server has no answer for.
	Known bool
	// Conversation is that of a request for an answer.
	Conversation Conversation
}

// Requests returns all requests so far.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// bodyLimit bounds a request's body; an agent sends its whole conversation
// each time.
const bodyLimit = 32 << 20

// ServeHTTP answers the Messages API, and what else Claude Code asks for at
// its start: with nothing, or not found.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := Request{Method: r.Method, Path: r.URL.Path, Key: r.Header.Get("X-Api-Key"), Known: true}
	seen.Bearer, _ = strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	defer func() { s.remember(seen) }()

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, err)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/messages":
		seen.Conversation, err = parse(body)
		if err != nil {
			fail(w, http.StatusBadRequest, err)
			return
		}
		s.answer(w, seen.Conversation)
	case "POST /v1/messages/count_tokens":
		// A quarter of a token a byte is near enough for any decision an
		// agent takes with it.
		writeJSON(w, http.StatusOK, map[string]any{"input_tokens": len(body) / 4})
	case "POST /v1/oauth/token":
		s.token(w, body)
	case "HEAD /", "HEAD /api/hello", "GET /api/hello":
		writeJSON(w, http.StatusOK, map[string]any{"message": "hello"})
	default:
		seen.Known = false
		fail(w, http.StatusNotFound, errors.New("messagesapi: no such path here"))
	}
}

// token answers as the endpoint of [LoginName] does (RFC 6749, 4.1.3 and 6).
func (s *Server) token(w http.ResponseWriter, body []byte) {
	var asked struct {
		Grant   string `json:"grant_type"`
		Refresh string `json:"refresh_token"`
		Code    string `json:"code"`
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	s.mu.Lock()
	renewing, granting := s.renewing, s.granting
	s.mu.Unlock()
	given := map[string]any{"expires_in": 3600, "token_type": "Bearer", "scope": "user:inference"}
	token, next := "", ""
	switch {
	case asked.Grant == "refresh_token" && renewing != nil:
		token, next = renewing(asked.Refresh)
	case asked.Grant == "authorization_code" && granting != nil:
		token, next = granting(asked.Code), "sk-ant-ort01-unused"
	}
	if token == "" {
		fail(w, http.StatusBadRequest, errors.New("messagesapi: invalid_grant"))
		return
	}
	given["access_token"], given["refresh_token"] = token, next
	writeJSON(w, http.StatusOK, given)
}

func (s *Server) remember(r Request) {
	if s.Log != nil {
		known := ""
		if !r.Known {
			known = " (unknown)"
		}
		s.Log.Printf("%s %s%s %.60q", r.Method, r.Path, known, r.Conversation.Text)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, r)
}

func (s *Server) answer(w http.ResponseWriter, c Conversation) {
	reply := s.Reply
	if reply == nil {
		reply = Script
	}
	answer := reply(c)
	if !c.Stream {
		writeJSON(w, http.StatusOK, message(c, answer.blocks(), answer.stopReason()))
		return
	}
	stream(w, c, answer)
}

// fail answers as the Messages API reports errors.
func fail(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]any{
		"type":  "error",
		"error": map[string]any{"type": "invalid_request_error", "message": err.Error()},
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("messagesapi: %v", err)) // plain values of our own
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // the client may be gone
}
