package agent

import (
	"encoding/json"
	"fmt"
	"strings"

	"oddish/internal/llm"
	"oddish/internal/sandbox"
)

// claudeConfig is where the program keeps its sessions; below LogsDir, so that they are fetched.
const claudeConfig = LogsDir + "/sessions"

func claudeCode() *Definition {
	return &Definition{
		Name: "claude-code", Description: "Anthropic's Claude Code",
		Package: Package{
			Command: "claude", NPM: "@anthropic-ai/claude-code", Version: "2.1.331",
			Native: "node_modules/@anthropic-ai/claude-code-linux-{cpu}{libc}/claude",
		},
		Output: "claude-code.txt",
		Options: []Option{
			{Name: "max_turns", Flag: "--max-turns", Help: "answers of the model after which it stops"},
			{Name: "reasoning_effort", Flag: "--effort", Values: []string{"low", "medium", "high", "xhigh", "max", "ultracode"}, Help: "how much the model thinks"},
			{Name: "max_budget_usd", Flag: "--max-budget-usd", Help: "US dollars, by its own prices, after which it stops"},
			{Name: "fallback_model", Flag: "--fallback-model", Help: "model to use while the other is overloaded"},
			{Name: "append_system_prompt", Flag: "--append-system-prompt", Help: "text behind its system prompt"},
			{Name: "allowed_tools", Flag: "--allowedTools", Help: "tools that it may use, with commas"},
			{Name: "disallowed_tools", Flag: "--disallowedTools", Help: "tools that it may not use, with commas"},
			{Name: "permission_mode", Flag: "--permission-mode=", Default: "bypassPermissions", Help: "what it may do without asking"},
			{Name: "max_thinking_tokens", Env: "MAX_THINKING_TOKENS", Help: "longest thinking before an answer"},
			{Name: "max_retries", Env: "CLAUDE_CODE_MAX_RETRIES", Help: "how often it repeats a failed call"},
			{Name: "max_output_tokens", Env: "CLAUDE_CODE_MAX_OUTPUT_TOKENS", Help: "longest answer of the model"},
			claudeOwnConfig(),
			{Name: "memory_dir", Help: "folder of the sandbox with memories that it begins with"},
		},
		MCP:      true,
		Skills:   true,
		Tells:    Tells{Tokens: true, Cost: true},
		Dialects: only(llm.Anthropic),
		Launch:   launchClaude,
		Read:     readClaude,
	}
}

func claudeOwnConfig() Option {
	return Option{Name: "config", Form: formJSON, Help: "its settings (settings.json)"}
}

// claudeSettings is the file with the settings of the user's.
const claudeSettings = "/tmp/oddish-agent/claude-settings.json"

func launchClaude(r Request) (Launch, error) {
	l := Launch{
		Env: map[string]string{
			"ANTHROPIC_BASE_URL": r.BaseURL, "ANTHROPIC_API_KEY": r.Token,
			"ANTHROPIC_MODEL": r.Model, "CLAUDE_CODE_SUBAGENT_MODEL": r.Model,
			"ANTHROPIC_DEFAULT_SONNET_MODEL": r.Model, "ANTHROPIC_DEFAULT_OPUS_MODEL": r.Model, "ANTHROPIC_DEFAULT_HAIKU_MODEL": r.Model,
			"CLAUDE_CONFIG_DIR": claudeConfig, "IS_SANDBOX": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
			"FORCE_AUTO_BACKGROUND_TASKS": "1", "ENABLE_BACKGROUND_TASKS": "1",
		},
	}
	flags := r.Flags
	if own := r.Options["config"]; own != "" {
		if _, err := native(claudeOwnConfig(), own); err != nil {
			return Launch{}, fmt.Errorf("agent claude-code: %w", err)
		}
		l.Files = append(l.Files, File{claudeSettings, own})
		flags += " --settings " + claudeSettings
	}
	l.Script = skillsInto(r.Skills, `"$CLAUDE_CONFIG_DIR/skills"`) + claudeMemories(r.Options["memory_dir"]) +
		r.Program + " --verbose --output-format=stream-json " + flags + " --print < " + r.Prompt
	if len(r.MCP) == 0 {
		return l, nil
	}
	config, err := json.Marshal(map[string]any{"mcpServers": mcpServers(r.MCP)})
	l.Files = append(l.Files, File{claudeConfig + "/.claude.json", string(config)})
	return l, err
}

// claudeMemories gives the line that copies memories to where the program has those of the working directory.
func claudeMemories(dir string) string {
	if dir == "" {
		return ""
	}
	return `m="$CLAUDE_CONFIG_DIR/projects/$(pwd | sed 's/[^A-Za-z0-9]/-/g')/memory"; mkdir -p "$m" && cp -R ` + sandbox.Quote(dir) + "/. \"$m\"/ || exit\n"
}

// mcpServers gives the servers in the form that Claude Code began and others took over.
func mcpServers(list []MCPServer) map[string]any {
	servers := map[string]any{}
	for _, s := range list {
		switch s.Transport {
		case "stdio":
			servers[s.Name] = map[string]any{"type": "stdio", "command": s.Command, "args": append([]string{}, s.Args...)}
		case "sse":
			servers[s.Name] = map[string]any{"type": "sse", "url": s.URL}
		default:
			servers[s.Name] = map[string]any{"type": "http", "url": s.URL}
		}
	}
	return servers
}

// skillsInto gives the line that copies the task's skills to where a program looks for them.
func skillsInto(skills, folder string) string {
	if skills == "" {
		return ""
	}
	return strings.ReplaceAll("mkdir -p DIR && cp -R "+sandbox.Quote(skills)+"/. DIR/ || exit\n", "DIR", folder)
}
