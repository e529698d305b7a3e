package upstream

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"oddish/internal/llm"
	"oddish/internal/llm/gateway"
)

func TestProvidersAreOneForEachName(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, p := range providers() {
		for _, name := range append(slices.Clone(p.also), p.name) {
			if other := seen[name]; other != "" {
				t.Errorf("%s means %s and %s", name, other, p.name)
			}
			seen[name] = p.name
		}
		if p.refused != "" {
			continue
		}
		for _, base := range []string{p.base, p.anthropic} {
			u, err := url.Parse(base)
			if err != nil || base != "" && (u.Host == "" || u.Scheme != "https" && !p.keyless || strings.HasSuffix(base, "/")) {
				t.Errorf("%s is at %q, %v", p.name, base, err)
			}
		}
		if p.base == "" && p.place == nil || len(p.dialects) == 0 {
			t.Errorf("%s is %+v", p.name, p)
		}
	}
}

func TestProvidersWithPlacesOfTheirOwn(t *testing.T) {
	t.Parallel()
	version := url.Values{"api-version": {"2025-04-01"}}
	for name, c := range map[string]struct {
		model string
		env   map[string]string
		want  map[llm.Dialect]gateway.Upstream
	}{
		"azure by name": {"azure/my-gpt", map[string]string{"AZURE_RESOURCE_NAME": "res", "AZURE_API_KEY": "k"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat:      {BaseURL: "https://res.openai.azure.com/openai/v1", KeyHeader: "Api-Key", Key: "k"},
			llm.Responses: {BaseURL: "https://res.openai.azure.com/openai/v1", KeyHeader: "Api-Key", Key: "k"},
		}},
		"azure with a version of the API": {"azure/my-gpt", map[string]string{"AZURE_API_BASE": "https://res.example/", "AZURE_API_KEY": "k", "AZURE_API_VERSION": "2025-04-01"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat:      {BaseURL: "https://res.example/openai/deployments/{model}", KeyHeader: "Api-Key", Key: "k", Unversioned: true, Query: version},
			llm.Responses: {BaseURL: "https://res.example/openai", KeyHeader: "Api-Key", Key: "k", Unversioned: true, Query: version},
		}},
		"databricks": {"databricks/llama", map[string]string{"DATABRICKS_HOST": "x.cloud.example", "DATABRICKS_TOKEN": "k"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "https://x.cloud.example/serving-endpoints", Key: "k", Unversioned: true},
		}},
		"perplexity": {"perplexity/sonar", map[string]string{"PERPLEXITYAI_API_KEY": "k"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "https://api.perplexity.ai", Key: "k", Unversioned: true},
		}},
		"ollama needs no key": {"ollama/qwen3", nil, map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: "http://127.0.0.1:11434/v1"}}},
		"an address for a known provider": {"groq/llama", map[string]string{"GROQ_BASE_URL": "http://proxy/v1"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "http://proxy/v1"},
		}},
		"an address for an unknown provider": {"acme/m", map[string]string{"ACME_BASE_URL": "http://acme/v1", "ACME_API_KEY": "k"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "http://acme/v1", Key: "k"}, llm.Responses: {BaseURL: "http://acme/v1", Key: "k"},
			llm.Anthropic: {BaseURL: "http://acme/v1", Key: "k"}, llm.Gemini: {BaseURL: "http://acme/v1", Key: "k"},
		}},
		"one that speaks Anthropic's dialect too": {"zai/glm-5", map[string]string{"ZAI_API_KEY": "k"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "https://api.z.ai/api/paas/v4", Key: "k"}, llm.Anthropic: {BaseURL: "https://api.z.ai/api/anthropic", Key: "k"},
		}},
		"but not at an address of somebody's own": {"zai/glm-5", map[string]string{"ZAI_API_KEY": "k", "ZAI_BASE_URL": "http://proxy"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "http://proxy", Key: "k"},
		}},
		"a proxy of LiteLLM": {"litellm_proxy/m", map[string]string{"OPENAI_BASE_URL": "http://litellm:4000", "OPENAI_API_KEY": "k"}, map[llm.Dialect]gateway.Upstream{
			llm.Chat: {BaseURL: "http://litellm:4000", Key: "k"}, llm.Responses: {BaseURL: "http://litellm:4000", Key: "k"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for of, r := range map[string]Request{"the worker": {Getenv: lookup(c.env)}, "the agent": {Env: c.env}} {
				r.Model = c.model
				found, err := Find(r)
				if err != nil || len(found.Upstreams) != len(c.want) {
					t.Fatalf("in the environment of %s: found %+v, %v", of, found, err)
				}
				for d, want := range c.want {
					got := found.Upstreams[d]
					if got.BaseURL != want.BaseURL || got.Key != want.Key || got.KeyHeader != want.KeyHeader || got.Unversioned != want.Unversioned || got.Query.Encode() != want.Query.Encode() {
						t.Errorf("in the environment of %s %s is %+v, want %+v", of, d, got, want)
					}
				}
			}
		})
	}
}

func TestProvidersThatCannotBeUsedSayWhatDoes(t *testing.T) {
	t.Parallel()
	for model, words := range map[string][]string{
		"bedrock/anthropic.claude-sonnet-4-5":  {"--base-url", "proxy"},
		"amazon-bedrock/anthropic.claude-opus": {"--base-url"},
		"vertex_ai/claude-opus-4-1":            {"--base-url", "Google Cloud"},
		"github-copilot/gpt-5":                 {"--base-url"},
		"replicate/llama":                      {"--base-url"},
		"azure/my-gpt":                         {"AZURE_API_BASE or AZURE_RESOURCE_NAME"},
		"databricks/llama":                     {"DATABRICKS_HOST"},
		"acme/m":                               {"--base-url", "ACME_BASE_URL"},
		"nvidia/nemotron":                      {"NVIDIA_API_KEY or NVIDIA_NIM_API_KEY"},
		"novita/x":                             {"NOVITA_API_KEY"},
	} {
		_, err := Find(Request{Model: model})
		for _, word := range words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, want one that says %q", model, err, word)
			}
		}
		if found, err := Find(Request{Model: model, BaseURL: "http://proxy:4000"}); err != nil || len(found.Upstreams) != 4 {
			t.Errorf("%s at an address of the user's: %+v, %v", model, found, err)
		}
	}
}

func TestAPlaceOfTheUsersGetsNoKeyOfTheWorkers(t *testing.T) {
	t.Parallel()
	worker := lookup(map[string]string{"AZURE_API_KEY": "worker's", "AZURE_API_BASE": "https://res", "ACME_API_KEY": "worker's", "ACME_BASE_URL": "https://acme"})
	for model, env := range map[string]map[string]string{
		"azure/x": {"AZURE_RESOURCE_NAME": "mine"},
		"acme/x":  {"ACME_BASE_URL": "http://mine"},
	} {
		found, err := Find(Request{Model: model, Env: env, Getenv: worker})
		if err != nil {
			t.Fatal(err)
		}
		for d, u := range found.Upstreams {
			if u.Key != "" || !strings.Contains(u.BaseURL, "mine") {
				t.Errorf("%s in %s is %+v", model, d, u)
			}
		}
	}
}

func TestStripTakesWhatTheModelsProviderIsFoundBy(t *testing.T) {
	t.Parallel()
	env := map[string]string{"A": "1", "ACME_API_KEY": "k", "ACME_BASE_URL": "u", "AZURE_RESOURCE_NAME": "r", "HF_TOKEN": "h", "OTHER_API_KEY": "mine"}
	if rest := Strip(env, "acme/m"); len(rest) != 2 || rest["A"] != "1" || rest["OTHER_API_KEY"] != "mine" {
		t.Errorf("what is left is %v", rest)
	}
}
