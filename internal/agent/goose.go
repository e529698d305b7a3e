package agent

import (
	"encoding/json"

	"oddish/internal/llm"
)

func goose() *Definition {
	return &Definition{
		Name: "goose", Description: "goose, for models of every provider",
		Package: Package{
			Command: "goose", Version: "1.46.0",
			Vendor: &Vendor{
				Source: "releases of block/goose on GitHub", Program: "goose",
				Script: fetching("curl bzip2") +
					`case "{libc}" in
-musl) v=musl ;;
*) v=gnu; ls /usr/lib/*/libxcb.so.1 /usr/lib*/libxcb.so.1 >/dev/null 2>&1 || if command -v apt-get >/dev/null 2>&1; then need libxcb1 libgomp1; else need libxcb libgomp; fi || exit 1 ;;
esac
curl -fsSL "https://github.com/block/goose/releases/download/v$VERSION/goose-{arch}-unknown-linux-$v.tar.bz2" -o goose.tar.bz2 &&
tar -xjf goose.tar.bz2 && rm goose.tar.bz2 && chmod 0755 goose`,
			},
		},
		Output: "goose.txt",
		Options: []Option{
			{Name: "max_turns", Flag: "--max-turns", Help: "most turns without the user"},
			{Name: "temperature", Env: "GOOSE_TEMPERATURE", Help: "of the model"},
		},
		MCP:      true,
		Skills:   true,
		Tells:    Tells{Tokens: true, Cost: true},
		Dialects: gooseDialects,
		Launch:   launchGoose,
		Read:     readGoose,
	}
}

// gooseDialects leaves out Responses: goose chooses between that and Chat Completions by the model's name, and is held to the latter.
func gooseDialects(provider string) []llm.Dialect {
	switch provider {
	case "anthropic":
		return []llm.Dialect{llm.Anthropic, llm.Chat}
	case "google", "gemini":
		return []llm.Dialect{llm.Gemini, llm.Chat}
	}
	return []llm.Dialect{llm.Chat, llm.Anthropic, llm.Gemini}
}

// launchGoose gives the instruction in a file and not, as in a recipe, in a template, which would fill in what looks like a mark in it.
func launchGoose(r Request) (Launch, error) {
	extensions := map[string]any{
		"developer": map[string]any{"enabled": true, "type": "builtin", "name": "developer", "display_name": "Developer", "timeout": 300, "bundled": true},
	}
	for _, s := range r.MCP {
		extensions[s.Name] = gooseExtension(s)
	}
	config, err := json.Marshal(map[string]any{"extensions": extensions}) // which is YAML as well
	if err != nil {
		return Launch{}, err
	}
	host := r.BaseURL + "/" // joined with the path of a call, it would lose its last part without the slash
	env := map[string]string{
		"GOOSE_MODEL": r.Model, "GOOSE_MODE": "auto", "GOOSE_DISABLE_KEYRING": "1", "GOOSE_TELEMETRY_ENABLED": "false", "GOOSE_DISABLE_SESSION_NAMING": "true",
	}
	switch r.Dialect {
	case llm.Anthropic:
		env["GOOSE_PROVIDER"], env["ANTHROPIC_HOST"], env["ANTHROPIC_API_KEY"] = "anthropic", host, r.Token
	case llm.Gemini:
		env["GOOSE_PROVIDER"], env["GOOGLE_HOST"], env["GOOGLE_API_KEY"] = "google", host, r.Token
	default:
		env["GOOSE_PROVIDER"], env["OPENAI_HOST"], env["OPENAI_API_KEY"] = "openai", host, r.Token
		env["OPENAI_BASE_PATH"] = "v1/chat/completions"
	}
	return Launch{
		Script: skillsInto(r.Skills, `"$HOME/.config/goose/skills"`) +
			r.Program + " run --instructions " + r.Prompt + " --output-format stream-json " + r.Flags + " </dev/null 2>&1",
		Env:   env,
		Files: []File{{"~/.config/goose/config.yaml", string(config)}},
	}, nil
}

// gooseExtension gives a tool server as goose's configuration has it.
func gooseExtension(s MCPServer) map[string]any {
	e := map[string]any{"enabled": true, "name": s.Name, "description": s.Name, "timeout": 300, "envs": map[string]any{}}
	switch s.Transport {
	case "stdio":
		e["type"], e["cmd"], e["args"] = "stdio", s.Command, append([]string{}, s.Args...)
	case "sse":
		e["type"], e["uri"] = "sse", s.URL
	default:
		e["type"], e["uri"] = "streamable_http", s.URL
	}
	return e
}
