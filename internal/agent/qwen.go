package agent

import (
	"encoding/json"
	"path/filepath"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
)

func qwenCoder() *Definition {
	return &Definition{
		Name: "qwen-coder", Description: "Qwen Code, for every OpenAI-compatible model",
		Package: Package{
			Command: "qwen", NPM: "@qwen-code/qwen-code", Version: "0.24.4",
			Script: "node_modules/@qwen-code/qwen-code/cli.js",
		},
		Output:   "qwen-code.txt",
		MCP:      true,
		Dialects: only(llm.Chat),
		Launch:   launchQwen,
		Read:     readQwen,
	}
}

func launchQwen(r Request) (Launch, error) {
	settings, err := json.Marshal(map[string]any{
		"privacy":    map[string]any{"usageStatisticsEnabled": false},
		"general":    map[string]any{"disableAutoUpdate": true},
		"mcpServers": geminiServers(r.MCP),
	})
	if err != nil {
		return Launch{}, err
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.qwen/skills"`) +
			r.Program + " --yolo --auth-type openai --chat-recording --output-format stream-json " + `--prompt="$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: map[string]string{
			"OPENAI_API_KEY": r.Token, "OPENAI_BASE_URL": r.BaseURL + "/v1", "OPENAI_MODEL": r.Model,
		},
		Files: []File{{"~/.qwen/settings.json", string(settings)}},
		After: `cd "$HOME/.qwen/projects" 2>/dev/null || exit 0; mkdir -p /logs/agent/qwen-sessions; find . -name '*.jsonl' -exec cp {} /logs/agent/qwen-sessions/ \;`,
	}, nil
}

// qwenEvent is a line of the output, which is like Claude Code's except for how the end is told and what the tokens contain.
type qwenEvent struct {
	claudeEvent
	Usage *claudeUsage `json:"usage"`
	Error struct {
		Message string `json:"message"`
	} `json:"error"`
}

// readQwen reads qwen-code.txt.
func readQwen(dir string) (*Log, error) {
	log, t := &Log{}, &atif.Trajectory{}
	open := false // the last step takes more of the same answer
	err := eachEvent(filepath.Join(dir, "qwen-code.txt"), func(e *qwenEvent) {
		if t.SessionID == "" {
			t.SessionID = e.SessionID
		}
		switch e.Type {
		case "assistant":
			if e.Message.Usage == nil || deref(e.Message.Usage.Input)+deref(e.Message.Usage.Output) > 0 || len(blocks(e.Message.Content)) > 0 {
				qwenStep(t, &e.Message, &open)
			}
		case "user":
			open = false
			for _, b := range blocks(e.Message.Content) {
				if b.Type == "tool_result" {
					t.Observe(b.ToolUseID, atif.Text(textOf(b.Content)), nil)
				}
			}
		case "result":
			qwenResult(log, e)
		}
	})
	if err != nil {
		return nil, err
	}
	if !log.Usage.Known() { // it was killed
		for i := range t.Steps {
			if m := t.Steps[i].Metrics; m != nil {
				log.Usage = log.Usage.Add(usage.Usage{InputTotal: m.PromptTokens, CacheRead: m.CachedTokens, OutputTotal: m.CompletionTokens})
			}
		}
	}
	log.Answered = len(t.Steps) > 0 && log.Failure == nil
	if log.Answered {
		log.Trajectory = t
	}
	return log, nil
}

func qwenStep(t *atif.Trajectory, m *claudeMessage, open *bool) {
	if !*open {
		t.Add(atif.Step{Source: atif.SourceAgent, ModelName: m.Model})
		*open = true
	}
	step := &t.Steps[len(t.Steps)-1]
	for _, b := range blocks(m.Content) {
		switch b.Type {
		case "text":
			step.Message = atif.Text(join(step.Message.Text, b.Text))
		case "thinking":
			step.ReasoningContent = join(step.ReasoningContent, b.Thinking)
		case "tool_use":
			step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: b.ID, Function: b.Name, Arguments: object(b.Input)})
		}
	}
	if u := m.Usage; u != nil && deref(u.Input) > 0 {
		step.Metrics = metricsOf(qwenUsage(u), nil)
	}
}

// qwenUsage gives the usage in the normal form; its input has the cached tokens in it, and its output what was thought.
func qwenUsage(u *claudeUsage) usage.Usage {
	if u == nil || deref(u.Input)+deref(u.Output) == 0 {
		return usage.Usage{}
	}
	return usage.Usage{InputTotal: usage.Of(deref(u.Input)), CacheRead: u.CacheRead, OutputTotal: usage.Of(deref(u.Output))}
}

func qwenResult(log *Log, e *qwenEvent) {
	log.Usage, log.Failure = qwenUsage(e.Usage), nil
	if e.IsError {
		log.Failure = &Failure{Message: orName(e.Error.Message, e.Result, e.Subtype)}
	}
}
