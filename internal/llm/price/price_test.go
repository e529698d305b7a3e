package price_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oddish/internal/llm/price"
	"oddish/internal/llm/usage"
)

func TestTheBuiltinTableIsWellFormed(t *testing.T) {
	t.Parallel()
	table := price.Builtin()
	if table.Version() != "catwalk-v0.52.1" {
		t.Errorf("version %q", table.Version())
	}
	if n := len(table.Models()); n < 400 {
		t.Errorf("%d models", n)
	}
	for _, p := range table.Models() {
		id := p.Provider + "/" + p.Model
		free := strings.HasSuffix(p.Model, ":free")
		if p.Provider == "" || p.Model == "" || p.Input < 0 || p.Output < 0 || p.Input+p.Output == 0 && !free || p.Input > 1000 || p.Context < 0 {
			t.Errorf("%s: %+v", id, p)
		}
		if p.CacheRead != nil && (*p.CacheRead <= 0 || *p.CacheRead > p.Input) {
			t.Errorf("%s: reading the cache costs %v, input %v", id, *p.CacheRead, p.Input)
		}
		if p.CacheWrite != nil && *p.CacheWrite < p.Input {
			t.Errorf("%s: writing the cache costs %v, input %v", id, *p.CacheWrite, p.Input)
		}
		if found, has := table.Lookup(id); !has || found.Model != p.Model || found.Provider != p.Provider {
			t.Errorf("%s is not found by its own name: %+v", id, found)
		}
	}
}

func TestLookup(t *testing.T) {
	t.Parallel()
	table := price.Builtin()
	tests := []struct{ name, id, want string }{
		{"in full", "openai/gpt-5", "openai/gpt-5"},
		{"bare", "gpt-5", "openai/gpt-5"},
		{"case", "OpenAI/GPT-5", "openai/gpt-5"},
		{"with a date that the table lacks", "gpt-5-2025-08-07", "openai/gpt-5"},
		{"without the date that the table has", "anthropic/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5-20250929"},
		{"with the date that the table has", "claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5-20250929"},
		{"with another date", "claude-sonnet-4-5-20990101", "anthropic/claude-sonnet-4-5-20250929"},
		{"latest", "claude-haiku-4-5-latest", "anthropic/claude-haiku-4-5-20251001"},
		{"dots", "anthropic/claude-sonnet-4.5", "anthropic/claude-sonnet-4-5-20250929"},
		{"claude as provider", "claude/claude-sonnet-4-5", "anthropic/claude-sonnet-4-5-20250929"},
		{"gemini route", "gemini/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"google route", "google/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"vertex route", "vertex_ai/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"gemini's resource name", "google/models/gemini-2.5-pro", "google/gemini-2.5-pro"},
		{"another maker on vertex", "vertex_ai/claude-sonnet-4-5@20250929", "vertex_ai/claude-sonnet-4-5-20250929"},
		{"a router", "openrouter/anthropic/claude-sonnet-4.5", "openrouter/anthropic/claude-sonnet-4.5"},
		{"unknown", "openai/my-own-model", ""},
		{"no model", "", ""},
		{"a prefix of a model", "openai/gpt", ""},
	}
	for _, tt := range tests {
		p, has := table.Lookup(tt.id)
		if got := p.Provider + "/" + p.Model; has != (tt.want != "") || has && got != tt.want {
			t.Errorf("%s: %q found %q", tt.name, tt.id, got)
		}
	}
	if _, has := table.LookupFrom("anthropic", "claude-sonnet-4-5"); !has {
		t.Error("a model is not found with its provider apart")
	}
}

func cost(table *price.Table, provider, model string, u usage.Usage) *float64 {
	p, known := table.LookupFrom(provider, model)
	if !known {
		return nil
	}
	return p.Cost(u)
}

func TestCost(t *testing.T) {
	t.Parallel()
	table := price.Builtin()
	of := usage.Of
	tests := []struct {
		name, provider, model string
		used                  usage.Usage
		want                  float64 // below 0: unknown
	}{
		{"each part at its price", "anthropic", "claude-sonnet-4-5", usage.Usage{InputTotal: of(2850), CacheRead: of(1450), CacheWrite: of(90), OutputTotal: of(54)}, 0.0055125},
		{"an hour in the cache costs twice the input", "anthropic", "claude-sonnet-4-5", usage.Usage{InputTotal: of(100), CacheWrite: of(100), CacheWrite1h: of(60), OutputTotal: of(0)}, (40*3.75 + 60*6) / 1e6},
		{"reasoning is output", "openai", "gpt-5", usage.Usage{InputTotal: of(1000), OutputTotal: of(100), Reasoning: of(90)}, (1000*1.25 + 100*10) / 1e6},
		{"an unknown cache price is that of the input", "openai", "gpt-5.4-pro", usage.Usage{InputTotal: of(1000), CacheRead: of(1000), OutputTotal: of(0)}, 0.03},
		{"an unknown model", "openai", "my-own-model", usage.Usage{InputTotal: of(1), OutputTotal: of(1)}, -1},
		{"an unknown usage", "openai", "gpt-5", usage.Usage{InputTotal: of(1)}, -1},
	}
	for _, tt := range tests {
		got := cost(table, tt.provider, tt.model, tt.used)
		if tt.want < 0 != (got == nil) || got != nil && *got != price.Round(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestOverrides(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	text := "models:\n  openai/my-own-model: {input: 0, output: 0}\n  claude-sonnet-4-5: {input: 1, output: 2, cache_read: 0.5, context: 7}\n" +
		"aliases:\n  fast: openai/gpt-5-mini\n  mine: openai/my-own-model\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	builtin := price.Builtin()
	table, err := builtin.WithFile(path)
	if err != nil {
		t.Fatal(err)
	}
	free := cost(table, "openai", "my-own-model", usage.Usage{InputTotal: usage.Of(9), OutputTotal: usage.Of(9)})
	if free == nil || *free != 0 {
		t.Errorf("a model that costs nothing costs %v", free)
	}
	for _, id := range []string{"claude-sonnet-4-5", "anthropic/claude-sonnet-4-5-20250929"} {
		if p, _ := table.Lookup(id); p.Input != 1 || p.Source != "prices.yaml" || p.Context != 7 {
			t.Errorf("%s: %+v", id, p)
		}
	}
	for alias, want := range map[string]string{"fast": "gpt-5-mini", "mine": "my-own-model"} {
		if p, _ := table.Lookup(alias); p.Model != want {
			t.Errorf("alias %s: %+v", alias, p)
		}
	}
	if !strings.HasPrefix(table.Version(), builtin.Version()+"+") || len(table.Version()) != len(builtin.Version())+9 {
		t.Errorf("version %q", table.Version())
	}
	if _, has := builtin.Lookup("fast"); has {
		t.Error("the overrides changed the table that they were laid on")
	}
}

func TestALongPromptHasItsOwnPrice(t *testing.T) {
	t.Parallel()
	table, err := price.Builtin().With("x", []byte("models: {google/gemini-2.5-pro: {input: 1, output: 10, cache_read: 0.5, long: {over: 1000, input: 2, output: 20, cache_read: 1}}}"))
	if err != nil {
		t.Fatal(err)
	}
	of := usage.Of
	for name, c := range map[string]struct {
		input int64
		want  float64
	}{
		"a prompt of just the length": {1000, (900*1 + 100*0.5 + 50*10) / 1e6},
		"one of a token more":         {1001, (901*2 + 100*1 + 50*20) / 1e6},
	} {
		if got := cost(table, "google", "gemini-2.5-pro", usage.Usage{InputTotal: of(c.input), CacheRead: of(100), OutputTotal: of(50)}); got == nil || *got != price.Round(c.want) {
			t.Errorf("%s costs %v, want %v", name, got, c.want)
		}
	}
}

func TestAnAliasStandsForAModelAsItIsWritten(t *testing.T) {
	t.Parallel()
	table, err := price.Builtin().With("x", []byte("models: {openai/My-Model: {input: 1, output: 1}}\naliases: {Mine: openai/My-Model}"))
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"mine": "openai/My-Model", "MINE": "openai/My-Model", "openai/gpt-5": "openai/gpt-5", "": ""} {
		if got := table.Resolve(id); got != want {
			t.Errorf("%q stands for %q, want %q", id, got, want)
		}
	}
}

func TestOverridesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"models: {a/b: {input: 1}}":                                        "input and output are needed",
		"models: {a/b: {input: -1, output: 1}}":                            "is no price",
		"models: {a/b: {inptu: 1, output: 1}}":                             "inptu",
		"models: {a/b: {input: 1, output: 1, long: {over: 10, input: 2}}}": "long needs over",
		"aliases: {fast: openai/none}":                                     "has no price",
		"models: [":                                                        "",
	} {
		if _, err := price.Builtin().With("x", []byte(text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v, want one that says %q", text, err, says)
		}
	}
	if _, err := price.Builtin().WithFile(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was accepted")
	}
}

func BenchmarkBuiltin(b *testing.B) {
	for b.Loop() {
		price.Builtin()
	}
}
