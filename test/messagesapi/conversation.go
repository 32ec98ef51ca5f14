package messagesapi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Conversation is what a request for an answer says, as far as a script needs
// it.
type Conversation struct {
	Model  string
	Stream bool
	System string
	// Tools are the names of the tools that the agent offers.
	Tools []string
	// Reminders is what the agent adds around what the person says, the
	// memory that it was given included.
	Reminders string
	// Text is what the person said last, without what the agent adds around
	// it.
	Text string
	// Result is the result of the tool that the agent ran last, when that is
	// what the request is about.
	Result string
	// Done is true when Result is there, also an empty one.
	Done bool
}

// request is the wire form, https://docs.anthropic.com/en/api/messages.
type request struct {
	Model    string                  `json:"model"`
	Stream   bool                    `json:"stream"`
	System   content                 `json:"system"`
	Tools    []struct{ Name string } `json:"tools"`
	Messages []struct {
		Role    string  `json:"role"`
		Content content `json:"content"`
	} `json:"messages"`
}

// content is a string or a list of blocks.
type content []block

type block struct {
	Type    string  `json:"type"`
	Text    string  `json:"text"`
	Content content `json:"content"` // of a tool_result
}

func (c *content) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) == nil {
		*c = content{{Type: "text", Text: text}}
		return nil
	}
	return json.Unmarshal(data, (*[]block)(c))
}

// text joins the text blocks, leaving out the reminders that an agent slips
// in beside what the person typed.
func (c content) text() string { return c.join(false) }

// join joins the text blocks that are reminders, or those that are not.
func (c content) join(reminders bool) string {
	var parts []string
	for _, b := range c {
		if b.Type == "text" && strings.HasPrefix(strings.TrimSpace(b.Text), "<system-reminder>") == reminders {
			parts = append(parts, b.Text)
		}
	}
	return strings.TrimSpace(strings.Join(parts, "\n"))
}

func parse(body []byte) (Conversation, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return Conversation{}, fmt.Errorf("messagesapi: read a request: %w", err)
	}
	if len(r.Messages) == 0 {
		return Conversation{}, fmt.Errorf("messagesapi: a request without messages")
	}
	c := Conversation{Model: r.Model, Stream: r.Stream, System: r.System.text()}
	for _, t := range r.Tools {
		c.Tools = append(c.Tools, t.Name)
	}
	for _, m := range r.Messages {
		c.Reminders += m.Content.join(true)
	}
	for _, m := range slices.Backward(r.Messages) {
		if m.Role == "assistant" {
			break
		}
		if m.Role != "user" { // what the agent says about itself, between the turns
			continue
		}
		for _, b := range m.Content {
			if b.Type == "tool_result" {
				c.Done, c.Result = true, b.Content.text()
			}
		}
		if text := m.Content.text(); text != "" && c.Text == "" {
			c.Text = text
		}
	}
	return c, nil
}
