package upstream

import (
	"slices"
	"strings"

	"oddish/internal/llm"
)

// provider is a seller of models.
type provider struct {
	name     string   // as in a price's id
	also     []string // other first parts of a model's id that mean it
	keys     []string // variables that hold its key, first found wins; empty: NAME_API_KEY
	bases    []string // variables that hold another base URL, before NAME_BASE_URL and NAME_API_BASE
	base     string   // empty: it has none that is everybody's
	dialects []llm.Dialect

	anthropic string // where it speaks Anthropic's dialect as well, if that is another address
	keyless   bool   // it needs no key
	bare      bool   // its paths have no version
	// place finds the address where that takes more than a variable; nil: it does not.
	place func(getenv func(string) (string, bool)) place
	// refused says why it cannot be used; empty: it can.
	refused string
}

// keyVars are the variables that may hold the key.
func (p *provider) keyVars() []string {
	if len(p.keys) > 0 {
		return p.keys
	}
	return []string{varName(p.name) + "_API_KEY"}
}

// baseVars are the variables that may hold an address.
func (p *provider) baseVars() []string {
	vars := slices.Clone(p.bases)
	for _, end := range []string{"_BASE_URL", "_API_BASE"} {
		if name := varName(p.name) + end; !slices.Contains(vars, name) {
			vars = append(vars, name)
		}
	}
	return vars
}

// varName is how a name begins the names of variables.
func varName(provider string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(provider))
}

func providers() []provider { return slices.Concat(makers(), sellers(), unusable()) }

// makers sell what they have made, in dialects of their own.
func makers() []provider {
	return []provider{
		{name: "anthropic", also: []string{"claude"}, base: "https://api.anthropic.com", dialects: []llm.Dialect{llm.Anthropic}},
		{name: "openai", also: []string{"litellm_proxy"}, base: "https://api.openai.com/v1", dialects: openAI()},
		{name: "google", also: []string{"gemini"}, keys: []string{"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"},
			bases: []string{"GOOGLE_GEMINI_BASE_URL", "GEMINI_BASE_URL"},
			base:  "https://generativelanguage.googleapis.com", dialects: []llm.Dialect{llm.Gemini}},
		{name: "azure", keys: []string{"AZURE_API_KEY", "AZURE_OPENAI_API_KEY"}, place: azurePlace, dialects: openAI()},
	}
}

func openAI() []llm.Dialect { return []llm.Dialect{llm.Chat, llm.Responses} }

// sellers speak OpenAI's dialects, most of them only Chat Completions.
func sellers() []provider {
	list := []provider{
		{name: "alibaba", also: []string{"dashscope", "qwen"}, keys: []string{"DASHSCOPE_API_KEY"}, bases: []string{"DASHSCOPE_BASE_URL"},
			base: "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"},
		{name: "baseten", base: "https://inference.baseten.co/v1"},
		{name: "cerebras", base: "https://api.cerebras.ai/v1"},
		{name: "chutes", base: "https://llm.chutes.ai/v1"},
		{name: "cohere", base: "https://api.cohere.ai/compatibility/v1"},
		{name: "databricks", keys: []string{"DATABRICKS_TOKEN", "DATABRICKS_API_KEY"}, place: databricksPlace},
		{name: "deepseek", base: "https://api.deepseek.com/v1", anthropic: "https://api.deepseek.com/anthropic"},
		{name: "fireworks", also: []string{"fireworks_ai"}, keys: []string{"FIREWORKS_API_KEY", "FIREWORKS_AI_API_KEY"}, base: "https://api.fireworks.ai/inference/v1"},
		{name: "groq", base: "https://api.groq.com/openai/v1"},
		{name: "huggingface", keys: []string{"HF_TOKEN", "HUGGINGFACE_API_KEY"}, base: "https://router.huggingface.co/v1"},
		{name: "minimax", base: "https://api.minimax.io/v1", anthropic: "https://api.minimax.io/anthropic"},
		{name: "mistral", base: "https://api.mistral.ai/v1"},
		{name: "moonshot", also: []string{"kimi", "moonshotai"}, keys: []string{"MOONSHOT_API_KEY", "KIMI_API_KEY"}, base: "https://api.moonshot.ai/v1",
			anthropic: "https://api.moonshot.ai/anthropic"},
		{name: "nebius", base: "https://api.tokenfactory.nebius.com/v1"},
		{name: "novita", base: "https://api.novita.ai/v3/openai"},
		{name: "nvidia", also: []string{"nvidia_nim"}, keys: []string{"NVIDIA_API_KEY", "NVIDIA_NIM_API_KEY"}, base: "https://integrate.api.nvidia.com/v1"},
		{name: "ollama", also: []string{"ollama_chat"}, base: "http://127.0.0.1:11434/v1", keyless: true},
		{name: "openrouter", base: "https://openrouter.ai/api/v1", dialects: openAI()},
		{name: "perplexity", keys: []string{"PERPLEXITY_API_KEY", "PERPLEXITYAI_API_KEY"}, base: "https://api.perplexity.ai", bare: true},
		{name: "scaleway", keys: []string{"SCW_SECRET_KEY"}, base: "https://api.scaleway.ai/v1"},
		{name: "synthetic", base: "https://api.synthetic.new/openai/v1"},
		{name: "together", also: []string{"together_ai"}, keys: []string{"TOGETHER_API_KEY", "TOGETHERAI_API_KEY"}, base: "https://api.together.xyz/v1"},
		{name: "vercel_ai_gateway", also: []string{"vercel"}, keys: []string{"AI_GATEWAY_API_KEY", "VERCEL_AI_GATEWAY_API_KEY"}, base: "https://ai-gateway.vercel.sh/v1"},
		{name: "xai", base: "https://api.x.ai/v1", dialects: openAI()},
		{name: "zai", base: "https://api.z.ai/api/paas/v4", anthropic: "https://api.z.ai/api/anthropic"},
	}
	for i := range list {
		if list[i].dialects == nil {
			list[i].dialects = []llm.Dialect{llm.Chat}
		}
	}
	return list
}

// unusable are known and cannot be used.
func unusable() []provider {
	const proxy = ": run a proxy that speaks OpenAI's or Anthropic's dialect (such as LiteLLM's) and give its address with --base-url"
	return []provider{
		{name: "bedrock", also: []string{"amazon-bedrock"}, refused: "requests to Amazon Bedrock are signed with keys of AWS, which the gateway cannot do" + proxy},
		{name: "vertex_ai", also: []string{"vertex_ai_beta", "vertexai"}, refused: "models of other makers on Vertex AI need an account of Google Cloud, with which the gateway cannot sign in" + proxy},
		{name: "github-copilot", also: []string{"github_copilot", "copilot"}, refused: "GitHub Copilot is for its own programs, signed in as a person" + proxy},
		{name: "replicate", refused: "Replicate speaks a dialect of its own" + proxy},
	}
}

// otherKeys are variables with credentials that the gateway cannot use.
func otherKeys() []string {
	return []string{"ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN", "CODEX_API_KEY", "AWS_BEARER_TOKEN_BEDROCK"}
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

// unknown is a provider of which nothing is known but its name: it can be used at an address that a variable holds.
func unknown(name string) *provider { return &provider{name: name, dialects: llm.Dialects()} }
