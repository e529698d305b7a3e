package model_test

import (
	"testing"

	"oddish/internal/model"
)

func TestNormalize(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, agent, id, want string }{
		{"a plain id stays", "codex", "gpt-5.2", "gpt-5.2"},
		{"case and edges go", "codex", "  OpenAI/GPT-5.2 \n", "openai/gpt-5.2"},
		{"white space becomes one dash", "x", "claude \t sonnet  4", "claude-sonnet-4"},
		{"runs of dashes collapse", "x", "a---b/c - d", "a-b/c-d"},
		{"dashes at the edges of a part go", "x", "-openai-/-gpt-", "openai/gpt"},
		{"empty parts go", "x", "openai//gpt/", "openai/gpt"},
		{"empty is absent", "x", "", "default"},
		{"blank is absent", "x", " \t", "default"},
		{"a dash is absent", "x", "-", "default"},
		{"none is absent", "x", "None", "default"},
		{"null is absent", "x", "null", "default"},
		{"nil is absent", "x", "NIL", "default"},
		{"n/a is absent", "x", "N/A", "default"},
		{"na is absent", "x", "na", "default"},
		{"default is absent", "x", "Default", "default"},
		{"only slashes are absent", "x", "//", "default"},
		{"only dashes are absent", "x", "--/-", "default"},
		{"nop never has a model", "nop", "gpt-5.2", "default"},
		{"oracle never has a model", "Oracle", "openai/gpt-5.2", "default"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := model.Normalize(tt.agent, tt.id)
			if got != tt.want {
				t.Errorf("Normalize(%q, %q) = %q, want %q", tt.agent, tt.id, got, tt.want)
			}
			if again := model.Normalize(tt.agent, got); again != got {
				t.Errorf("normalising %q again gives %q", got, again)
			}
		})
	}
}

func TestQueueKey(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, agent, model, want string }{
		{"nop is local", "nop", "gpt-5", "local"},
		{"oracle is local", "oracle", "", "local"},
		{"no model", "terminus-2", "", "default"},
		{"absent alias", "terminus-2", "n/a", "default"},
		{"openai alone", "x", "openai", "default"},
		{"anthropic alone", "x", "Anthropic", "default"},
		{"claude alone", "x", "claude", "default"},
		{"google alone", "x", "google", "default"},
		{"gemini alone", "x", "gemini", "default"},
		{"two providers and no model", "x", "google/gemini", "default"},
		{"two providers and no model, anthropic", "x", "anthropic/claude", "default"},
		{"qualified ids stay", "x", "openai/gpt-5.2", "openai/gpt-5.2"},
		{"other providers stay", "x", "xAI/grok-4", "xai/grok-4"},
		{"longer routes stay", "x", "openrouter/anthropic/claude-opus-4-1", "openrouter/anthropic/claude-opus-4-1"},
		{"gpt-", "x", "gpt-5.2-codex", "openai/gpt-5.2-codex"},
		{"o1", "x", "o1-mini", "openai/o1-mini"},
		{"o3", "x", "o3", "openai/o3"},
		{"o4", "x", "o4-mini", "openai/o4-mini"},
		{"chatgpt-", "x", "chatgpt-4o-latest", "openai/chatgpt-4o-latest"},
		{"text-embedding-", "x", "text-embedding-3-large", "openai/text-embedding-3-large"},
		{"claude family", "claude-code", "Claude Haiku 4 5", "anthropic/claude-haiku-4-5"},
		{"gemini family", "gemini-cli", "gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"google route", "x", "google/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"gemini route", "x", "gemini/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"vertex route", "x", "vertex_ai/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"another maker's model on vertex", "x", "vertex_ai/claude-opus-4-1", "vertex_ai/claude-opus-4-1"},
		{"unknown names stay bare", "x", "my-own-model", "my-own-model"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := model.QueueKey(tt.agent, tt.model)
			if got != tt.want {
				t.Errorf("QueueKey(%q, %q) = %q, want %q", tt.agent, tt.model, got, tt.want)
			}
			if got != model.LocalKey && model.QueueKey(tt.agent, got) != got {
				t.Errorf("the key of key %q is %q", got, model.QueueKey(tt.agent, got))
			}
		})
	}
}

func TestProvider(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, agent, model, want string }{
		{"anthropic prefix", "x", "anthropic/claude-opus-4-1", "claude"},
		{"claude prefix", "x", "claude/opus", "claude"},
		{"bedrock prefix", "x", "bedrock/anthropic.claude-v2", "claude"},
		{"gemini prefix", "x", "gemini/gemini-2.5-pro", "gemini"},
		{"google prefix", "x", "google/gemini-2.5-pro", "gemini"},
		{"vertex prefix", "x", "vertex_ai/gemini-2.5-pro", "gemini"},
		{"palm prefix", "x", "palm/text-bison", "gemini"},
		{"openai prefix", "x", "openai/gpt-5.2", "openai"},
		{"another provider has its own name", "x", "xai/grok-4", "xai"},
		{"family of the name", "x", "gpt-5.2", "openai"},
		{"claude family", "x", "claude-haiku-4-5", "claude"},
		{"gemini family", "x", "gemini-2.5-flash", "gemini"},
		{"the model wins over the agent", "claude-code", "openai/gpt-5.2", "openai"},
		{"a provider's name instead of a model", "x", "anthropic", "claude"},
		{"by agent claude-code", "claude-code", "", "claude"},
		{"by agent gemini-cli", "gemini-cli", "default", "gemini"},
		{"by agent codex", "codex", "", "openai"},
		{"by the agent's prefix", "claude-code-next", "", "claude"},
		{"by agent for an unknown model", "codex", "my-own-model", "openai"},
		{"neither tells", "terminus-2", "my-own-model", "default"},
		{"oracle", "oracle", "gpt-5.2", "default"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := model.Provider(tt.agent, tt.model); got != tt.want {
				t.Errorf("Provider(%q, %q) = %q, want %q", tt.agent, tt.model, got, tt.want)
			}
		})
	}
}
