package agent

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"

	"oddish/internal/atif"
	"oddish/internal/llm"
	"oddish/internal/llm/usage"
	"oddish/internal/sandbox"
)

func geminiCLI() *Definition {
	return &Definition{
		Name: "gemini-cli", Description: "Google's Gemini CLI",
		Package: Package{Command: "gemini", NPM: "@google/gemini-cli", Version: "0.61.0", Script: geminiScript},
		Output:  "gemini-cli.txt",
		Options: []Option{
			{Name: "sandbox", Flag: "--sandbox", Switch: true},
		},
		MCP:      true,
		Dialects: only(llm.Gemini),
		Launch:   launchGemini,
		Read:     readGemini,
	}
}

const geminiScript = "node_modules/@google/gemini-cli/bundle/gemini.js"

func launchGemini(r Request) (Launch, error) {
	settings, err := json.Marshal(map[string]any{
		"security":   map[string]any{"auth": map[string]any{"selectedType": "gemini-api-key"}},
		"privacy":    map[string]any{"usageStatisticsEnabled": false},
		"general":    map[string]any{"disableAutoUpdate": true},
		"mcpServers": geminiServers(r.MCP),
	})
	if err != nil {
		return Launch{}, err
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.gemini/skills"`) +
			r.Program + " --yolo " + r.Flags + " --model=" + sandbox.Quote(r.Model) + " --output-format stream-json " + `--prompt="$(cat ` + r.Prompt + `)" </dev/null 2>&1`,
		Env: map[string]string{
			"GEMINI_API_KEY": r.Token, "GOOGLE_GEMINI_BASE_URL": r.BaseURL, "GEMINI_CLI_TRUST_WORKSPACE": "true",
		},
		Files: []File{{"~/.gemini/settings.json", string(settings)}},
		After: `cd "$HOME/.gemini/tmp" 2>/dev/null || exit 0; mkdir -p /logs/agent/sessions; find . -name 'session-*.json*' -exec cp {} /logs/agent/sessions/ \;`,
	}, nil
}

// geminiServers gives the task's tool servers in Gemini's form, which tells them apart by the key of their address.
func geminiServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		switch s.Transport {
		case "stdio":
			servers[s.Name] = map[string]any{"command": s.Command, "args": append([]string{}, s.Args...)}
		case "sse":
			servers[s.Name] = map[string]any{"url": s.URL}
		default:
			servers[s.Name] = map[string]any{"httpUrl": s.URL}
		}
	}
	return servers
}

// geminiRecord is a line of a session's file. The same message may be written again with what has been added: the last counts.
type geminiRecord struct {
	ID        string          `json:"id"`
	SessionID string          `json:"sessionId"`
	Type      string          `json:"type"`
	Timestamp string          `json:"timestamp"`
	Content   json.RawMessage `json:"content"`
	Model     string          `json:"model"`
	Thoughts  []struct {
		Subject     string `json:"subject"`
		Description string `json:"description"`
	} `json:"thoughts"`
	Tokens *struct {
		Input, Output, Cached, Thoughts, Tool int64
	} `json:"tokens"`
	ToolCalls []struct {
		ID     string          `json:"id"`
		Name   string          `json:"name"`
		Args   json.RawMessage `json:"args"`
		Status string          `json:"status"`
		Result json.RawMessage `json:"result"`
	} `json:"toolCalls"`
}

// readGemini reads the session's file, and the output for how it ended.
func readGemini(dir string) (*Log, error) {
	records, order := map[string]*geminiRecord{}, []string{}
	log, t := &Log{}, &atif.Trajectory{}
	err := eachFile(filepath.Join(dir, "sessions"), ".jsonl", func(path string) error {
		return eachEvent(path, func(r *geminiRecord) {
			if r.SessionID != "" {
				t.SessionID = r.SessionID
			}
			if r.ID == "" || r.Type != "gemini" && r.Type != "user" {
				return
			}
			if records[r.ID] == nil {
				order = append(order, r.ID)
			}
			records[r.ID] = r
		})
	})
	if err != nil {
		return nil, err
	}
	for _, id := range order {
		geminiStep(log, t, records[id])
	}
	if len(t.Steps) > 0 && log.Answered {
		log.Trajectory = t
	}
	return log, readGeminiOutput(filepath.Join(dir, "gemini-cli.txt"), log)
}

func geminiStep(log *Log, t *atif.Trajectory, r *geminiRecord) {
	step := atif.Step{Source: atif.SourceUser, Timestamp: r.Timestamp, Message: atif.Text(geminiText(r.Content))}
	if r.Type == "user" {
		if step.Message.Text != "" { // else it is what a tool gave, which stands at its call too
			t.Add(step)
		}
		return
	}
	log.Answered = true
	step.Source, step.ModelName = atif.SourceAgent, r.Model
	for _, th := range r.Thoughts {
		step.ReasoningContent = join(step.ReasoningContent, join(th.Subject, th.Description))
	}
	if k := r.Tokens; k != nil && k.Input+k.Output > 0 { // input has the cached in it, output lacks what was thought
		u := usage.Usage{
			InputTotal: usage.Of(k.Input), CacheRead: usage.Of(k.Cached),
			OutputTotal: usage.Of(k.Output + k.Thoughts + k.Tool), Reasoning: usage.Of(k.Thoughts),
		}
		step.Metrics, log.Usage = metricsOf(u, nil), log.Usage.Add(u)
	}
	for i, c := range r.ToolCalls {
		if c.ID == "" {
			c.ID = fmt.Sprintf("%s-%d", r.ID, i)
		}
		step.ToolCalls = append(step.ToolCalls, atif.ToolCall{ID: c.ID, Function: c.Name, Arguments: object(c.Args)})
	}
	t.Add(step)
	for i, c := range r.ToolCalls {
		t.Observe(step.ToolCalls[i].ID, atif.Text(string(c.Result)), map[string]any{"status": c.Status})
	}
}

// geminiText gives the text of a content, which is text or a list of parts.
func geminiText(content json.RawMessage) string {
	var parts []struct {
		Text string `json:"text"`
	}
	if json.Unmarshal(content, &parts) != nil {
		var text string
		if json.Unmarshal(content, &text) != nil {
			return ""
		}
		return text
	}
	all := ""
	for _, p := range parts {
		all += p.Text
	}
	return all
}

// readGeminiOutput looks for the result, or for the status with which it gave up.
func readGeminiOutput(path string, log *Log) error {
	err := eachEvent(path, func(e *struct {
		Type, Role, Status string
		Error              struct{ Type, Message string }
	}) {
		if e.Type == "message" && e.Role == "assistant" {
			log.Answered = true
		}
		if e.Type == "result" && e.Status == "error" {
			log.Failure = &Failure{Message: join(e.Error.Type, e.Error.Message)}
		}
	})
	if log.Answered && log.Failure == nil {
		return err
	}
	words := endOf(path, 8000)
	if m := regexp.MustCompile(`(?:status|code)\\?"?:\s?(\d{3})\b`).FindAllStringSubmatch(words, -1); len(m) > 0 {
		status, e := strconv.Atoi(m[len(m)-1][1])
		if e == nil && status >= 400 {
			log.Failure = &Failure{Status: status, Message: lastWords([]byte(words), 1000)}
		}
	}
	return err
}
