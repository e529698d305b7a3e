package agent

import "oddish/internal/llm"

// definitions are the installed agents.
func definitions() []*Definition {
	return []*Definition{claudeCode(), codex(), pi(), geminiCLI(), qwenCoder(), opencode(), miniSWEAgent(), aider(),
		clineCLI(), copilot(), kimiCLI(), openHands(), goose(), cursorCLI(), sweAgent(), traeAgent(), commandAgent()}
}

// only gives the dialects of a program that speaks the same whatever the provider.
func only(list ...llm.Dialect) func(string) []llm.Dialect {
	return func(string) []llm.Dialect { return list }
}

// byProvider gives the dialects of a program that speaks all of them, the provider's own first.
func byProvider(provider string) []llm.Dialect {
	switch provider {
	case "anthropic":
		return []llm.Dialect{llm.Anthropic, llm.Chat}
	case "openai":
		return []llm.Dialect{llm.Responses, llm.Chat}
	case "google", "gemini":
		return []llm.Dialect{llm.Gemini, llm.Chat}
	}
	return []llm.Dialect{llm.Chat, llm.Responses, llm.Anthropic, llm.Gemini}
}
