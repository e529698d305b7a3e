package agent

import (
	"encoding/json"

	"oddish/internal/sandbox"
)

func cursorCLI() *Definition {
	return &Definition{
		Name: "cursor-cli", Description: "Cursor's agent, by Cursor's own service and key",
		Package: Package{
			Command: "cursor-agent", Version: "2026.08.11-e8db854",
			Vendor: &Vendor{
				Source: "downloads.cursor.com", Program: "package/cursor-agent",
				Script: fetching("curl tar gzip") +
					`mkdir package && curl -fsSL "https://downloads.cursor.com/lab/$VERSION/linux/{cpu}/agent-cli-package.tar.gz" -o package.tar.gz &&
tar -xzf package.tar.gz --strip-components=1 -C package && rm package.tar.gz`,
			},
		},
		Output: "cursor-cli.txt",
		Options: []Option{
			{Name: "mode", Flag: "--mode=", Values: []string{"plan", "ask"}, Help: "only plans or answers, changes nothing"},
		},
		MCP:    true,
		Skills: true,
		OwnKey: "CURSOR_API_KEY",
		Tells:  Tells{Tokens: true},
		Launch: launchCursor,
		Read:   readCursor,
	}
}

func launchCursor(r Request) (Launch, error) {
	l := Launch{}
	flags := ""
	if len(r.MCP) > 0 {
		config, err := json.Marshal(map[string]any{"mcpServers": mcpServers(r.MCP)})
		if err != nil {
			return Launch{}, err
		}
		flags = " --approve-mcps"
		l.Files = []File{{"~/.cursor/mcp.json", string(config)}}
	}
	if r.Flags != "" {
		flags += " " + r.Flags
	}
	l.Script = skillsInto(r.Skills, `"$HOME/.cursor/skills"`) +
		r.Program + " --yolo --print --output-format=stream-json --model=" + sandbox.Quote(r.Model) + flags + " < " + r.Prompt + " 2>&1"
	return l, nil
}
