package price

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

// file is the form of an override file:
//
//	models:
//	  openai/my-model: {input: 0, output: 0}            # US dollars for a million tokens
//	  anthropic/claude-sonnet-4-5: {input: 3, output: 15, cache_read: 0.3, cache_write: 3.75, context: 200000}
//	  google/gemini-2.5-pro: {input: 1.25, output: 10, long: {over: 200000, input: 2.5, output: 15}}
//	aliases:
//	  fast: openai/gpt-5-mini
type file struct {
	Models  map[string]entry  `yaml:"models"`
	Aliases map[string]string `yaml:"aliases"`
}

type entry struct {
	Input        *float64 `yaml:"input"`
	Output       *float64 `yaml:"output"`
	CacheRead    *float64 `yaml:"cache_read"`
	CacheWrite   *float64 `yaml:"cache_write"`
	CacheWrite1h *float64 `yaml:"cache_write_1h"`
	Long         *Long    `yaml:"long"`
	Context      int64    `yaml:"context"`
	MaxOutput    int64    `yaml:"max_output"`
}

// WithFile gives a table in which the override file at path comes before the prices of this one.
func (t *Table) WithFile(path string) (*Table, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read price overrides: %w", err)
	}
	with, err := t.With(filepath.Base(path), data)
	if err != nil {
		return nil, fmt.Errorf("price overrides %s: %w", path, err)
	}
	return with, nil
}

// With gives a table in which the overrides in data (YAML or JSON) come before the prices of this one. The name becomes the source of its
// prices, and a digest of data part of the version.
func (t *Table) With(name string, data []byte) (*Table, error) {
	var f file
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		return nil, err
	}
	with := &Table{
		version: fmt.Sprintf("%s+%x", t.version, sha256.Sum256(data))[:len(t.version)+9],
		prices:  maps.Clone(t.prices), undated: maps.Clone(t.undated), aliases: maps.Clone(t.aliases),
	}
	for id, e := range f.Models {
		p, err := e.price(id, name)
		if err != nil {
			return nil, err
		}
		with.override(id, p)
	}
	for alias, target := range f.Aliases {
		if _, known := with.Lookup(target); !known {
			return nil, fmt.Errorf("alias %s stands for %s, which has no price: add it under models", alias, target)
		}
	}
	for alias, target := range f.Aliases {
		with.aliases[Key(alias)] = target
	}
	return with, nil
}

// override sets a price. One given for a name without a date is also that of the dated names that the table has, since it is those that
// providers answer with.
func (t *Table) override(id string, p Price) {
	key := Key(id)
	t.prices[key] = p
	for other := range t.prices {
		if other != key && undated(other) == key && t.prices[other].Source == "table" {
			t.prices[other] = p
		}
	}
	if base := undated(key); base != key && t.undated[base] < key {
		t.undated[base] = key
	}
}

func (e entry) price(id, source string) (Price, error) {
	provider, model, qualified := strings.Cut(Key(id), "/")
	if !qualified {
		provider, model = "", provider
	}
	if e.Input == nil || e.Output == nil {
		return Price{}, fmt.Errorf("model %s: input and output are needed (US dollars for a million tokens; 0 if it costs nothing)", id)
	}
	figures := []*float64{e.Input, e.Output, e.CacheRead, e.CacheWrite, e.CacheWrite1h}
	if l := e.Long; l != nil {
		figures = append(figures, &l.Input, &l.Output, l.CacheRead, l.CacheWrite)
		if l.Over <= 0 || l.Input == 0 && *e.Input > 0 || l.Output == 0 && *e.Output > 0 {
			return Price{}, fmt.Errorf("model %s: long needs over, the length of the prompt in tokens above which it holds, input and output", id)
		}
	}
	for _, v := range figures {
		if v != nil && (*v < 0 || math.IsNaN(*v) || math.IsInf(*v, 0)) {
			return Price{}, fmt.Errorf("model %s: %v is no price", id, *v)
		}
	}
	return Price{
		Provider: provider, Model: model, Input: *e.Input, Output: *e.Output,
		CacheRead: e.CacheRead, CacheWrite: e.CacheWrite, CacheWrite1h: e.CacheWrite1h, Long: e.Long,
		Context: e.Context, MaxOutput: e.MaxOutput, Source: source,
	}, nil
}
