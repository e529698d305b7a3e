package agent

import (
	"encoding/json"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

func opencode() *Definition {
	return &Definition{
		Name: "opencode", Description: "opencode, for models of every provider",
		Package: Package{Command: "opencode", NPM: "opencode-ai", Version: "1.18.33", Native: "node_modules/opencode-linux-{cpu}{libc}/bin/opencode"},
		Output:  "opencode.txt",
		Options: []Option{
			{Name: "variant", Flag: "--variant"},
		},
		MCP:      true,
		Dialects: byProvider,
		Launch:   launchOpencode,
		Read:     readOpencode,
	}
}

func launchOpencode(r Request) (Launch, error) {
	name, options := "oddish", map[string]any{"baseURL": r.BaseURL + "/v1", "apiKey": r.Token}
	provider := map[string]any{"options": options, "models": map[string]any{r.Model: map[string]any{}}}
	switch r.Dialect {
	case llm.Anthropic:
		name = "anthropic"
	case llm.Responses:
		name = "openai"
	case llm.Gemini:
		name = "google"
		options["baseURL"] = r.BaseURL + "/v1beta"
	default:
		provider["npm"] = "@ai-sdk/openai-compatible"
	}
	config, err := json.Marshal(map[string]any{
		"provider": map[string]any{name: provider}, "small_model": name + "/" + r.Model, // its own choice is another model, which was not asked for
		"autoupdate": false, "share": "disabled", "mcp": opencodeServers(r.MCP),
	})
	if err != nil {
		return Launch{}, err
	}
	flags := r.Flags
	if flags != "" {
		flags += " "
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.config/opencode/skills"`) +
			r.Program + " --model=" + sandbox.Quote(name+"/"+r.Model) + " run --format=json --thinking --dangerously-skip-permissions " + flags +
			`-- "$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: map[string]string{
			"OPENCODE_FAKE_VCS": "git", "OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1",
			"XDG_DATA_HOME": LogsDir + "/opencode/xdg-data", "XDG_STATE_HOME": LogsDir + "/opencode/xdg-state",
		},
		Files: []File{{"~/.config/opencode/opencode.json", string(config)}},
	}, nil
}

func opencodeServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		if s.Transport == "stdio" {
			servers[s.Name] = map[string]any{"type": "local", "command": append([]string{s.Command}, s.Args...), "enabled": true}
		} else {
			servers[s.Name] = map[string]any{"type": "remote", "url": s.URL, "enabled": true}
		}
	}
	return servers
}

// opencodeEvent is a line of the output.
type opencodeEvent struct {
	Type      string `json:"type"`
	Timestamp int64  `json:"timestamp"` // milliseconds
	SessionID string `json:"sessionID"`
	Part      struct {
		Text   string  `json:"text"`
		Tool   string  `json:"tool"`
		CallID string  `json:"callID"`
		Cost   float64 `json:"cost"`
		Tokens struct {
			Input, Output, Reasoning int64
			Cache                    struct{ Read, Write int64 }
		} `json:"tokens"`
		State struct {
			Status string          `json:"status"`
			Input  json.RawMessage `json:"input"`
			Output string          `json:"output"`
			Error  string          `json:"error"`
		} `json:"state"`
	} `json:"part"`
	Error struct {
		Name string `json:"name"`
		Data struct {
			Message    string `json:"message"`
			StatusCode int    `json:"statusCode"`
		} `json:"data"`
	} `json:"error"`
}

// readOpencode reads opencode.txt: turns of the model lie between step_start and step_finish.
func readOpencode(dir string) (*Log, error) {
	log, t := &Log{}, &atif.Trajectory{}
	err := eachEvent(filepath.Join(dir, "opencode.txt"), func(e *opencodeEvent) {
		if t.SessionID == "" {
			t.SessionID = e.SessionID
		}
		if e.Type == "error" {
			log.Failure = opencodeFailure(e)
			return
		}
		if e.Type == "step_start" {
			t.Add(atif.Step{Source: atif.SourceAgent, Timestamp: millis(e.Timestamp)})
			return
		}
		if len(t.Steps) > 0 {
			opencodePart(log, t, e)
		}
	})
	if err != nil {
		return nil, err
	}
	if log.Answered {
		log.Trajectory = t
	}
	return log, nil
}

func opencodePart(log *Log, t *atif.Trajectory, e *opencodeEvent) {
	step, p := &t.Steps[len(t.Steps)-1], &e.Part
	switch e.Type {
	case "text":
		step.Message = atif.Text(join(step.Message.Text, p.Text))
	case "reasoning":
		step.ReasoningContent = join(step.ReasoningContent, p.Text)
	case "tool_use":
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: p.CallID, Function: p.Tool, Arguments: object(p.State.Input)})
		t.Observe(p.CallID, atif.Text(join(p.State.Output, p.State.Error)), map[string]any{"status": p.State.Status})
	case "step_finish":
		log.Failure = nil
		u := parts(p.Tokens.Input, p.Tokens.Cache.Read, p.Tokens.Cache.Write, p.Tokens.Output+p.Tokens.Reasoning)
		if u.Known() {
			u.Reasoning = usage.Of(p.Tokens.Reasoning)
		}
		var cost *float64
		if p.Cost > 0 {
			cost = &p.Cost
			log.CostUSD = sum(log.CostUSD, p.Cost)
		}
		step.Metrics, log.Usage = metricsOf(u, cost), log.Usage.Add(u)
	default:
		return
	}
	log.Answered = true
}

func opencodeFailure(e *opencodeEvent) *Failure {
	f := &Failure{Status: e.Error.Data.StatusCode, Message: join(e.Error.Name, e.Error.Data.Message)}
	if e.Error.Name == "ContextOverflowError" {
		f.Type = result.ContextWindowExceededError
	}
	return f
}
