package messagesapi

import (
	"fmt"
	"slices"
	"strings"
)

// Answer is one turn of the server: text, then at most one tool to run.
type Answer struct {
	Text string
	Tool *Tool
}

// Tool asks the agent to run one of its tools.
type Tool struct {
	Name  string
	Input map[string]any
}

// toolTime is how long a command may take, in milliseconds: the most that the
// agent's tool gives one, since by itself it moves what takes longer than two
// minutes aside and goes on.
const toolTime = 600_000

// Script answers by what the person said last:
//
//	write PATH TEXT…   the agent's tool Write makes that file
//	run COMMAND…       the agent's tool Bash runs that
//	anything else      comes back with a greeting, so that it can be recognised
//
// When a tool has run, the answer is its result.
func Script(c Conversation) Answer {
	if c.Done {
		return Answer{Text: "The tool says: " + c.Result}
	}
	verb, rest, _ := strings.Cut(c.Text, " ")
	switch {
	case verb == "write" && slices.Contains(c.Tools, "Write"):
		path, text, _ := strings.Cut(rest, " ")
		return Answer{
			Text: "I write that file.",
			Tool: &Tool{Name: "Write", Input: map[string]any{"file_path": path, "content": text + "\n"}},
		}
	case verb == "run" && slices.Contains(c.Tools, "Bash"):
		return Answer{
			Text: "I run that.",
			Tool: &Tool{Name: "Bash", Input: map[string]any{"command": rest, "description": "Run what was asked", "timeout": toolTime}},
		}
	}
	return Answer{Text: fmt.Sprintf("Hello from the local Messages API. You said: %s", c.Text)}
}

func (a Answer) stopReason() string {
	if a.Tool != nil {
		return "tool_use"
	}
	return "end_turn"
}

func (a Answer) blocks() []map[string]any {
	blocks := []map[string]any{{"type": "text", "text": a.Text}}
	if a.Tool != nil {
		blocks = append(blocks, map[string]any{
			"type": "tool_use", "id": newID("toolu_"), "name": a.Tool.Name, "input": a.Tool.Input,
		})
	}
	return blocks
}
