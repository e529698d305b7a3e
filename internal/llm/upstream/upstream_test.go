package upstream

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"oddish/internal/llm"
)

func TestFind(t *testing.T) {
	t.Parallel()
	worker := map[string]string{
		"ANTHROPIC_API_KEY": "wa", "OPENAI_API_KEY": "wo", "GOOGLE_API_KEY": "wg", "OPENROUTER_API_KEY": "wr", "GROQ_API_KEY": "",
		"OPENROUTER_BASE_URL": "https://router.example/v1",
	}
	for name, c := range map[string]struct {
		model, base string
		env         map[string]string
		provider    string
		sent        string
		dialects    []llm.Dialect
		url, key    string
	}{
		"a provider and a model": {"anthropic/claude-sonnet-4-5", "", nil, "anthropic", "claude-sonnet-4-5",
			[]llm.Dialect{llm.Anthropic}, "https://api.anthropic.com", "wa"},
		"a model that tells its provider": {"gpt-5.2", "", nil, "openai", "gpt-5.2", []llm.Dialect{llm.Chat, llm.Responses}, "https://api.openai.com/v1", "wo"},
		"every route to Gemini": {"vertex_ai/gemini-2.5-pro", "", nil, "google", "gemini-2.5-pro",
			[]llm.Dialect{llm.Gemini}, "https://generativelanguage.googleapis.com", "wg"},
		"capitals stay in the name": {"OpenAI/My-Model", "", nil, "openai", "My-Model", []llm.Dialect{llm.Chat, llm.Responses}, "https://api.openai.com/v1", "wo"},
		"a reseller, at the worker's address": {"openrouter/anthropic/claude-opus-4.5", "", nil, "openrouter", "anthropic/claude-opus-4.5",
			[]llm.Dialect{llm.Chat, llm.Responses}, "https://router.example/v1", "wr"},
		"the user's key comes first": {"openai/gpt-5", "", map[string]string{"OPENAI_API_KEY": "uo"}, "openai", "gpt-5",
			[]llm.Dialect{llm.Chat, llm.Responses}, "https://api.openai.com/v1", "uo"},
		"an address in the agent's environment gets no key of the worker's": {"openai/gpt-5", "", map[string]string{"OPENAI_BASE_URL": "http://user"}, "openai", "gpt-5",
			[]llm.Dialect{llm.Chat, llm.Responses}, "http://user", ""},
		"an address of the user's gets no key of the worker's": {"openai/mine", "http://user", nil, "openai", "mine", llm.Dialects(), "http://user", ""},
		"an address of the user's gets the user's key": {"openai/mine", "http://user", map[string]string{"OPENAI_API_KEY": "uo"}, "openai", "mine",
			llm.Dialects(), "http://user", "uo"},
		"an address makes any provider known": {"acme/m", "http://user", nil, "acme", "m", llm.Dialects(), "http://user", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found, err := Find(Request{Model: c.model, BaseURL: c.base, Env: c.env, Getenv: lookup(worker)})
			if err != nil {
				t.Fatal(err)
			}
			if found.Provider != c.provider || found.Model != c.sent || len(found.Upstreams) != len(c.dialects) {
				t.Errorf("found %+v", found)
			}
			for _, d := range c.dialects {
				if u := found.Upstreams[d]; u.BaseURL != c.url || u.Key != c.key || u.Provider != c.provider {
					t.Errorf("%s is %+v", d, u)
				}
			}
		})
	}
}

func TestAnAgentThatChoosesItsModelHasEveryProviderWithAKey(t *testing.T) {
	t.Parallel()
	found, err := Find(Request{Getenv: lookup(map[string]string{"ANTHROPIC_API_KEY": "a", "GEMINI_API_KEY": "g"})})
	if err != nil || len(found.Upstreams) != 2 || found.Upstreams[llm.Gemini].Key != "g" || found.Upstreams[llm.Anthropic].Key != "a" {
		t.Errorf("found %+v, %v", found, err)
	}
}

func TestWhatCannotBeFoundIsExplained(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model   string
		env     map[string]string
		missing []string
		words   string
	}{
		"no key":                         {"google/gemini-2.5-pro", nil, []string{"GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENERATIVE_AI_API_KEY"}, "GEMINI_API_KEY or"},
		"no key at all":                  {"", nil, []string{"ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"}, "no key for the model"},
		"an empty key":                   {"openai/x", map[string]string{"OPENAI_API_KEY": ""}, []string{"OPENAI_API_KEY"}, "openai/x"},
		"unknown provider":               {"acme/x", nil, nil, "ACME_BASE_URL"},
		"a name that tells no provider":  {"my-model", nil, nil, "provider/my-model"},
		"credentials that are of no use": {"anthropic/x", map[string]string{"ANTHROPIC_AUTH_TOKEN": "x"}, nil, "ANTHROPIC_AUTH_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Find(Request{Model: c.model, Env: c.env})
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Fatalf("error is %v", err)
			}
			var missing *MissingKeyError
			if errors.As(err, &missing) != (c.missing != nil) || missing != nil && !slices.Equal(missing.Variables, c.missing) {
				t.Errorf("error is %#v", err)
			}
		})
	}
}

func TestStripTakesKeysAndAddresses(t *testing.T) {
	t.Parallel()
	env := map[string]string{"A": "1", "OPENAI_API_KEY": "k", "ANTHROPIC_BASE_URL": "u", "CLAUDE_CODE_OAUTH_TOKEN": "t", "MY_API_KEY": "mine"}
	rest := Strip(env, "")
	if len(rest) != 2 || rest["A"] != "1" || rest["MY_API_KEY"] != "mine" {
		t.Errorf("what is left is %v", rest)
	}
	if len(env) != 5 {
		t.Error("the environment itself was changed")
	}
	if Strip(nil, "openai/x") != nil {
		t.Error("nothing became something")
	}
}
