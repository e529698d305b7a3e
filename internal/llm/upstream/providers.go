package upstream

import (
	"slices"

	"oddish/internal/llm"
)

// provider is a seller of models.
type provider struct {
	name     string   // as in a price's id
	also     []string // other first parts of a model's id that mean it
	keys     []string // variables that hold its key, first found wins
	bases    []string // variables that hold another base URL
	base     string
	dialects []llm.Dialect
}

func providers() []provider {
	openAI := []llm.Dialect{llm.Chat, llm.Responses}
	chat := []llm.Dialect{llm.Chat}
	return []provider{
		{name: "anthropic", also: []string{"claude"}, keys: []string{"ANTHROPIC_API_KEY"}, bases: []string{"ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"},
			base: "https://api.anthropic.com", dialects: []llm.Dialect{llm.Anthropic}},
		{name: "openai", keys: []string{"OPENAI_API_KEY"}, bases: []string{"OPENAI_BASE_URL", "OPENAI_API_BASE"},
			base: "https://api.openai.com/v1", dialects: openAI},
		{name: "google", also: []string{"gemini"}, keys: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"},
			bases: []string{"GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL"},
			base:  "https://generativelanguage.googleapis.com", dialects: []llm.Dialect{llm.Gemini}},
		{name: "openrouter", keys: []string{"OPENROUTER_API_KEY"}, bases: []string{"OPENROUTER_BASE_URL"},
			base: "https://openrouter.ai/api/v1", dialects: openAI},
		{name: "cerebras", keys: []string{"CEREBRAS_API_KEY"}, base: "https://api.cerebras.ai/v1", dialects: chat},
		{name: "alibaba", also: []string{"dashscope", "qwen"}, keys: []string{"DASHSCOPE_API_KEY"}, bases: []string{"DASHSCOPE_BASE_URL"},
			base: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", dialects: chat},
		{name: "deepseek", keys: []string{"DEEPSEEK_API_KEY"}, base: "https://api.deepseek.com/v1", dialects: chat},
		{name: "fireworks", also: []string{"fireworks_ai"}, keys: []string{"FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"},
			base: "https://api.fireworks.ai/inference/v1", dialects: chat},
		{name: "groq", keys: []string{"GROQ_API_KEY"}, base: "https://api.groq.com/openai/v1", dialects: chat},
		{name: "mistral", keys: []string{"MISTRAL_API_KEY"}, base: "https://api.mistral.ai/v1", dialects: chat},
		{name: "moonshot", also: []string{"kimi"}, keys: []string{"MOONSHOT_API_KEY", "KIMI_API_KEY"}, base: "https://api.moonshot.ai/v1", dialects: chat},
		{name: "together", also: []string{"together_ai"}, keys: []string{"TOGETHER_API_KEY", "TOGETHERAI_API_KEY"}, base: "https://api.together.xyz/v1", dialects: chat},
		{name: "xai", keys: []string{"XAI_API_KEY"}, base: "https://api.x.ai/v1", dialects: openAI},
		{name: "zai", keys: []string{"ZAI_API_KEY"}, base: "https://api.z.ai/api/paas/v4", dialects: chat},
	}
}

// otherKeys are variables with credentials of providers that the gateway cannot use.
func otherKeys() []string {
	return []string{"ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CODEX_API_KEY", "AZURE_OPENAI_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"}
}

// find gives the provider that the first part of a model's id means; nil: none that is known.
func find(name string) *provider {
	for _, p := range providers() {
		if p.name == name || slices.Contains(p.also, name) {
			return &p
		}
	}
	return nil
}
