package agent

import (
	"encoding/json"
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
			{Name: "max_turns", Flag: "--max-turns"},
			{Name: "reasoning_effort", Flag: "--effort", Values: []string{"low", "medium", "high", "xhigh", "max", "ultracode"}},
			{Name: "max_budget_usd", Flag: "--max-budget-usd"},
			{Name: "fallback_model", Flag: "--fallback-model"},
			{Name: "append_system_prompt", Flag: "--append-system-prompt"},
			{Name: "allowed_tools", Flag: "--allowedTools"},
			{Name: "disallowed_tools", Flag: "--disallowedTools"},
			{Name: "permission_mode", Flag: "--permission-mode=", Default: "bypassPermissions"},
			{Name: "max_thinking_tokens", Env: "MAX_THINKING_TOKENS"},
			{Name: "max_retries", Env: "CLAUDE_CODE_MAX_RETRIES"},
		},
		MCP:      true,
		Dialects: only(llm.Anthropic),
		Launch:   launchClaude,
		Read:     readClaude,
	}
}

func launchClaude(r Request) (Launch, error) {
	l := Launch{
		Script: skillsInto(r.Skills, `"$CLAUDE_CONFIG_DIR/skills"`) +
			r.Program + " --verbose --output-format=stream-json " + r.Flags + " --print < " + r.Prompt,
		Env: map[string]string{
			"ANTHROPIC_BASE_URL": r.BaseURL, "ANTHROPIC_API_KEY": r.Token,
			"ANTHROPIC_MODEL": r.Model, "CLAUDE_CODE_SUBAGENT_MODEL": r.Model,
			"ANTHROPIC_DEFAULT_SONNET_MODEL": r.Model, "ANTHROPIC_DEFAULT_OPUS_MODEL": r.Model, "ANTHROPIC_DEFAULT_HAIKU_MODEL": r.Model,
			"CLAUDE_CONFIG_DIR": claudeConfig, "IS_SANDBOX": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1",
			"FORCE_AUTO_BACKGROUND_TASKS": "1", "ENABLE_BACKGROUND_TASKS": "1",
		},
	}
	if len(r.MCP) == 0 {
		return l, nil
	}
	config, err := json.Marshal(map[string]any{"mcpServers": mcpServers(r.MCP)})
	l.Files = append(l.Files, File{claudeConfig + "/.claude.json", string(config)})
	return l, err
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
