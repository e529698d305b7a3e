package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"oddish/internal/llm"
)

// errOnlyProviderTools is for a request that would be left without a tool.
var errOnlyProviderTools = errors.New("tools that run at the provider, such as web search, are not allowed in this trial")

// withoutProviderTools removes from a request the tools that the provider runs, which reach the internet past the sandbox and cost what no token
// count tells. A request that has no other tools is refused with errOnlyProviderTools: it was made for them.
func withoutProviderTools(d llm.Dialect, body []byte) ([]byte, error) {
	fields, err := topFields(body)
	if err != nil {
		return nil, err
	}
	for _, f := range slices.Backward(fields) { // so that offsets before an edit stay right
		switch f.name {
		case "mcp_servers", "web_search_options", "plugins":
			if body, err = setField(body, f, f.name, nil); err != nil {
				return nil, err
			}
		case "tools":
			tools, changed, err := agentTools(d, f.in(body))
			if err != nil {
				return nil, err
			}
			if !changed {
				continue
			}
			if body, err = setField(body, f, f.name, tools); err != nil {
				return nil, err
			}
		}
	}
	return body, nil
}

// agentTools gives the tools that the agent runs itself.
func agentTools(d llm.Dialect, list []byte) (kept []json.RawMessage, changed bool, err error) {
	var tools []json.RawMessage
	if err := json.Unmarshal(list, &tools); err != nil {
		return nil, false, fmt.Errorf("read the tools of the request: %w", err)
	}
	for _, tool := range tools {
		left, err := agentTool(d, tool)
		if err != nil {
			return nil, false, err
		}
		changed = changed || len(left) != len(tool)
		if left != nil {
			kept = append(kept, left)
		}
	}
	if len(tools) > 0 && len(kept) == 0 {
		return nil, false, errOnlyProviderTools
	}
	return kept, changed, nil
}

// agentTool gives what is left of a tool, or nil.
func agentTool(d llm.Dialect, tool json.RawMessage) (json.RawMessage, error) {
	if d == llm.Gemini {
		return geminiTool(tool)
	}
	var t struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(tool, &t); err != nil {
		return nil, fmt.Errorf("read a tool of the request: %w", err)
	}
	for _, prefix := range []string{"web_search", "web_fetch", "code_execution", "code_interpreter", "file_search", "image_generation", "mcp"} {
		if strings.HasPrefix(t.Type, prefix) {
			return nil, nil
		}
	}
	return tool, nil
}

// geminiTool keeps the functions of one of Gemini's tools, which may be several at once.
func geminiTool(tool json.RawMessage) (json.RawMessage, error) {
	var kinds map[string]json.RawMessage
	if err := json.Unmarshal(tool, &kinds); err != nil {
		return nil, fmt.Errorf("read a tool of the request: %w", err)
	}
	kept := map[string]json.RawMessage{}
	for name, value := range kinds {
		switch strings.ReplaceAll(strings.ToLower(name), "_", "") {
		case "functiondeclarations", "computeruse":
			kept[name] = value
		}
	}
	switch len(kept) {
	case len(kinds):
		return tool, nil
	case 0:
		return nil, nil
	}
	return json.Marshal(kept)
}
