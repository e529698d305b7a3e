package price

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"oddish/internal/model"
)

//go:generate go run gen.go v0.52.1

//go:embed prices.tsv
var builtin string // text, parsed when somebody asks

// Table finds prices. It does not change once made, so it may be shared.
type Table struct {
	version string
	prices  map[string]Price  // by provider/model
	undated map[string]string // provider/model without its date → the newest key that has one
	aliases map[string]string // as keys → what they stand for, as written
}

// Builtin makes the table that is compiled in. It takes about a millisecond: make it once, and only where it is needed.
func Builtin() *Table {
	t := &Table{prices: map[string]Price{}, undated: map[string]string{}, aliases: map[string]string{}}
	for line := range strings.Lines(builtin) {
		line = strings.TrimRight(line, "\n")
		if comment, is := strings.CutPrefix(line, "# "); is {
			if t.version == "" {
				t.version = strings.ReplaceAll(comment, " ", "-")
			}
			continue
		}
		t.put(parse(line))
	}
	return t
}

// parse reads a line of the table, which gen.go wrote and a test checks.
func parse(line string) Price {
	f := strings.Split(line, "\t")
	p := Price{Provider: f[0], Model: f[1], Input: or(number(f[2]), 0), Output: or(number(f[3]), 0), CacheRead: number(f[4]), CacheWrite: number(f[5]), Source: "table"}
	p.Context, p.MaxOutput = int64(or(number(f[6]), 0)), int64(or(number(f[7]), 0))
	return p
}

func number(s string) *float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return nil
	}
	return &n
}

// put adds a price unless its key has one: of two routes to the same model the first in the table counts.
func (t *Table) put(p Price) {
	key := Key(p.Provider + "/" + p.Model)
	if _, has := t.prices[key]; has {
		return
	}
	p.Provider, p.Model, _ = strings.Cut(key, "/")
	t.prices[key] = p
	if base := undated(key); base != key && t.undated[base] < key {
		t.undated[base] = key
	}
}

// Version names the table and its overrides, for storing beside a cost.
func (t *Table) Version() string { return t.version }

// Models lists all prices by provider and model.
func (t *Table) Models() []Price {
	var list []Price
	for _, key := range slices.Sorted(maps.Keys(t.prices)) {
		list = append(list, t.prices[key])
	}
	return list
}

// Lookup finds the price of a model by its id as a user or a provider writes it: provider/model, or a bare name that tells its
// provider. All routes to Google's Gemini are one, and a date at the end of the name may be left out or unknown to the table.
func (t *Table) Lookup(id string) (Price, bool) {
	key := Key(id)
	if target, is := t.aliases[key]; is {
		key = Key(target)
	}
	for _, candidate := range []string{key, t.undated[key], undated(key), t.undated[undated(key)]} {
		if p, has := t.prices[candidate]; has {
			return p, true
		}
	}
	return Price{}, false
}

// Resolve gives the model that an alias stands for, as the file writes it; any other id stands for itself.
func (t *Table) Resolve(id string) string {
	if target, is := t.aliases[Key(id)]; is {
		return target
	}
	return id
}

// LookupFrom finds the price of the model as the provider sells it; an empty provider is told from the model's name.
func (t *Table) LookupFrom(provider, model string) (Price, bool) {
	if provider != "" && !strings.HasPrefix(model, provider+"/") {
		model = provider + "/" + model
	}
	return t.Lookup(model)
}

// Key gives the one spelling of a model's id under which the table keeps it.
func Key(id string) string {
	key := model.QueueKey("", id)
	if resource, is := strings.CutPrefix(key, "google/models/"); is {
		key = "google/" + resource
	}
	provider, name, qualified := strings.Cut(key, "/")
	switch {
	case qualified && (provider == "anthropic" || provider == "claude"):
		return "anthropic/" + strings.ReplaceAll(name, ".", "-")
	case qualified && (provider == "vertex_ai_beta" || provider == "vertexai"):
		return "vertex_ai/" + name
	}
	return key
}

// undated removes a date, or "latest", from the end of a name: -20250929, @20250929, -2025-08-07.
func undated(key string) string {
	if base, is := strings.CutSuffix(key, "-latest"); is {
		return base
	}
	for _, form := range []string{"-dddddddd", "@dddddddd", "-dddd-dd-dd"} {
		if at := len(key) - len(form); at > 0 && matches(key[at:], form) {
			return key[:at]
		}
	}
	return key
}

func matches(s, form string) bool {
	for i := range len(form) {
		digit := s[i] >= '0' && s[i] <= '9'
		if form[i] == 'd' != digit || form[i] != 'd' && s[i] != form[i] {
			return false
		}
	}
	return true
}

// Missing gives an error that names the models without a price and says what to do, or nil if all have one.
func (t *Table) Missing(provider string, models []string) error {
	var missing []string
	for _, m := range models {
		if _, known := t.LookupFrom(provider, m); !known {
			missing = append(missing, m)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return fmt.Errorf("no price is known for %s of provider %s: give one in the file of price overrides (0 if it costs nothing), or budget tokens or calls instead of money",
		strings.Join(missing, ", "), provider)
}
