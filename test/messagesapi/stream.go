package messagesapi

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// newID is an identifier of the shape that the Messages API uses.
func newID(prefix string) string { return prefix + rand.Text() }

func message(c Conversation, blocks []map[string]any, stopReason any) map[string]any {
	return map[string]any{
		"id": newID("msg_"), "type": "message", "role": "assistant", "model": c.Model,
		"content": blocks, "stop_reason": stopReason, "stop_sequence": nil,
		"usage": map[string]any{"input_tokens": 10, "output_tokens": 10},
	}
}

// stream writes an answer as server-sent events, flushed one by one, text in
// words, in the order of https://docs.anthropic.com/en/api/messages-streaming.
func stream(w http.ResponseWriter, c Conversation, answer Answer) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	send := func(kind string, event map[string]any) {
		event["type"] = kind
		data, err := json.Marshal(event)
		if err != nil {
			panic(fmt.Sprintf("messagesapi: %v", err)) // plain values of our own
		}
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", kind, data)
		_ = http.NewResponseController(w).Flush() // a client that is gone is not an error here
	}
	send("message_start", map[string]any{"message": message(c, []map[string]any{}, nil)})
	for i, block := range answer.blocks() {
		start, deltas := cut(block)
		send("content_block_start", map[string]any{"index": i, "content_block": start})
		for _, delta := range deltas {
			send("content_block_delta", map[string]any{"index": i, "delta": delta})
		}
		send("content_block_stop", map[string]any{"index": i})
	}
	send("message_delta", map[string]any{
		"delta": map[string]any{"stop_reason": answer.stopReason(), "stop_sequence": nil},
		"usage": map[string]any{"output_tokens": 10},
	})
	send("message_stop", map[string]any{})
}

// cut splits a block into its empty start and the deltas that fill it.
func cut(block map[string]any) (start map[string]any, deltas []map[string]any) {
	if block["type"] == "text" {
		for _, word := range strings.SplitAfter(block["text"].(string), " ") {
			deltas = append(deltas, map[string]any{"type": "text_delta", "text": word})
		}
		return map[string]any{"type": "text", "text": ""}, deltas
	}
	input, err := json.Marshal(block["input"])
	if err != nil {
		panic(fmt.Sprintf("messagesapi: %v", err)) // plain values of our own
	}
	start = map[string]any{"type": block["type"], "id": block["id"], "name": block["name"], "input": map[string]any{}}
	return start, []map[string]any{{"type": "input_json_delta", "partial_json": string(input)}}
}
