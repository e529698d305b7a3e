package gateway

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/price"
	"oddish/internal/llm/transcript"
)

// Trial says what a session may do and who is told what it did.
type Trial struct {
	ID    string
	Token string // what the agent gets instead of a key; empty: a random one. It must not be guessable.

	Upstreams     map[llm.Dialect]Upstream
	AllowedModels []string          // names as sent to the provider; others are refused. Empty: every model
	Aliases       map[string]string // model asked for → model sent instead
	// Model is the trial's own. Agents call others beside it (for titles and summaries), which all are HelperModel instead if that is set.
	Model, HelperModel string
	// OnlyPriced refuses models without a known price, so that a budget of money is kept.
	OnlyPriced bool
	Budget     Budget
	// NoProviderTools removes the tools that run at the provider (web search, code execution, remote MCP) from requests: for trials without
	// internet, and for budgets of money, which count tokens only.
	NoProviderTools bool
	WaitBudget      time.Duration // longest all waits for the provider may take together; 0: Retry.SessionWait

	// OnUsage is told the sums after every answered call; they never fall. OnRateLimit is told when the provider asks to slow
	// down. Both are called from the goroutines of requests, OnUsage by one at a time, and hold up the answer; they must not close
	// the session.
	OnUsage     func(Total)
	OnRateLimit func(RateLimit)

	Log    io.Writer // one line of JSON for every request (see Entry); written by one goroutine at a time. nil: none
	Record bool      // the log's lines hold what was sent and answered, for a Recording
	// Transcript keeps what is said; nil: nobody does. It is the caller's to close, after the session.
	Transcript *transcript.Recorder
	// Replay answers from here instead of from the upstreams, and Budget.USD, AllowedModels and Aliases are of no effect. Replayed are the numbers (see
	// Entry) of the exchanges with which former sessions of the trial have answered.
	Replay   *Recording
	Replayed []int
}

// Upstream is a provider's API in one dialect.
type Upstream struct {
	Provider string // as in a price's id; empty: anthropic, openai or google by dialect
	// BaseURL is with or without the version (/v1): where a path names one, none is added. Credentials in it are refused.
	BaseURL string
	Key     string
	// KeyHeader carries the key; Authorization gets it as a bearer token. Empty: X-Api-Key for Anthropic, X-Goog-Api-Key for
	// Gemini, Authorization for OpenAI.
	KeyHeader string
	Header    http.Header // sent with every request
	Query     url.Values  // likewise
	// Unversioned: the API's paths have no version. ModelInPath in the path of BaseURL stands for the model that is called.
	Unversioned bool
}

// ModelInPath stands for the model in an Upstream's BaseURL.
const ModelInPath = "{model}"

// Budget bounds a session. Nil is no bound. A call that would exceed one is not sent but answered with an error that agents stop at; since
// the size of an answer is known only afterwards, the last call may go over.
type Budget struct {
	USD    *float64
	Tokens *int64 // input and output
	Calls  *int64
}

// RateLimit is a provider's wish to be asked less.
type RateLimit struct {
	Provider, Model string
	Overloaded      bool          // everybody is told so, not only us
	RetryAfter      time.Duration // when it may be asked again; 0 if it did not say
}

func (b Budget) check() error {
	if b.USD != nil && (*b.USD < 0 || math.IsNaN(*b.USD)) || b.Tokens != nil && *b.Tokens < 0 || b.Calls != nil && *b.Calls < 0 {
		return errors.New("a budget can't be negative: leave out what shall not be bounded")
	}
	return nil
}

// upstream is a checked Upstream.
type upstream struct {
	provider string
	base     *url.URL
	query    url.Values
	bare     bool        // without a version
	header   http.Header // with the key
	secrets  [][]byte    // never to be passed on
	id       string      // of the account
}

func newUpstream(d llm.Dialect, u Upstream) (*upstream, error) {
	base, err := url.Parse(strings.TrimRight(u.BaseURL, "/"))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the base URL for %s is malformed", d) // the error would show it, with what may be in it
	case base.Scheme != "http" && base.Scheme != "https" || base.Host == "":
		return nil, fmt.Errorf("the base URL for %s, %q, is not like https://host/v1", d, base.Redacted())
	case base.User != nil || base.RawQuery != "":
		return nil, fmt.Errorf("the base URL for %s carries credentials or a query: put the key where keys belong", d)
	case u.Key != "" && strings.ContainsAny(u.Key, "\r\n\x00"):
		return nil, fmt.Errorf("the key for %s contains a line break: was a file pasted whole?", d)
	}
	up := &upstream{provider: or(u.Provider, providerOf(d)), base: base, query: u.Query, bare: u.Unversioned, header: u.Header.Clone()}
	if up.header == nil {
		up.header = http.Header{}
	}
	if u.Key != "" {
		name, value := or(u.KeyHeader, keyHeader(d)), u.Key
		if strings.EqualFold(name, "Authorization") {
			value = "Bearer " + u.Key
		}
		up.header.Set(name, value)
	}
	for _, secret := range []string{u.Key} {
		if len(secret) >= minSecret {
			up.secrets = append(up.secrets, []byte(secret))
		}
	}
	up.id = fmt.Sprintf("%s %x", base, sha256.Sum256([]byte(u.Key)))
	return up, nil
}

// minSecret is the length from which a key counts as one: what local servers are given ("none", "EMPTY") is a word that answers may contain.
const minSecret = 8

func providerOf(d llm.Dialect) string {
	switch d {
	case llm.Anthropic:
		return "anthropic"
	case llm.Gemini:
		return "google"
	}
	return "openai"
}

func keyHeader(d llm.Dialect) string {
	switch d {
	case llm.Anthropic:
		return "X-Api-Key"
	case llm.Gemini:
		return "X-Goog-Api-Key"
	}
	return "Authorization"
}

// url gives the address of a route at the upstream, for a model. The version is added unless the base names one in its path.
func (u *upstream) url(r route, model string, query url.Values) *url.URL {
	target := *u.base
	// An agent's name for a model is no way to other paths.
	target.Path = strings.ReplaceAll(target.Path, ModelInPath, strings.Trim(strings.ReplaceAll(model, "/", "-"), "."))
	if !u.bare && !slices.ContainsFunc(strings.Split(target.Path, "/"), isVersion) {
		target.Path += "/" + r.version
	}
	target.Path += "/" + r.rest
	maps.Copy(query, u.query)
	target.RawQuery = query.Encode()
	return &target
}

// isVersion recognises v1, v4, v1beta, v1alpha in a path.
func isVersion(segment string) bool {
	if len(segment) < 2 || segment[0] != 'v' || segment[1] < '0' || segment[1] > '9' {
		return false
	}
	return strings.TrimLeft(strings.TrimLeft(segment[1:], "0123456789"), "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// models says which models a session may call.
type models struct {
	allowed     map[string]bool // nil: every one
	aliases     map[string]string
	own, helper string
}

// resolve gives the model to send for one that was asked for.
func (m models) resolve(asked string) (sent string, allowed bool) {
	sent = asked
	if target, is := m.aliases[asked]; is {
		sent = target
	} else if m.helper != "" && asked != m.own {
		sent = m.helper
	}
	return sent, m.allowed == nil || m.allowed[sent]
}

func newModels(t Trial) (models, error) {
	m := models{aliases: t.Aliases, own: t.Model, helper: t.HelperModel}
	if len(t.AllowedModels) > 0 {
		m.allowed = map[string]bool{}
	}
	for _, name := range t.AllowedModels {
		m.allowed[name] = true
	}
	if m.helper != "" && m.allowed != nil && !m.allowed[m.helper] {
		return models{}, fmt.Errorf("the helper model %s is not among the allowed models: allow it or choose another", m.helper)
	}
	for asked, target := range t.Aliases {
		if _, again := t.Aliases[target]; again {
			return models{}, fmt.Errorf("the alias %s stands for %s, which is an alias itself: name the model", asked, target)
		}
		if m.allowed != nil && !m.allowed[target] {
			return models{}, fmt.Errorf("the alias %s stands for %s, which is not among the allowed models: allow it or choose another", asked, target)
		}
	}
	return m, nil
}

// priced refuses a budget of money for what has no price.
func (t Trial) priced(prices *price.Table, ups map[llm.Dialect]*upstream) error {
	if t.Budget.USD == nil {
		return nil
	}
	models := t.AllowedModels
	switch {
	case t.OnlyPriced && len(models) == 0 && t.Model != "":
		models = []string{t.Model}
	case !t.OnlyPriced && len(models) == 0:
		return errors.New("a budget of money needs the list of allowed models, or to allow only those with a known price")
	}
	for _, name := range models {
		known := slices.ContainsFunc(llm.Dialects(), func(d llm.Dialect) bool {
			up := ups[d]
			if up == nil {
				return false
			}
			_, has := prices.LookupFrom(up.provider, name)
			return has
		})
		if !known {
			return fmt.Errorf("a budget of money can't be kept: %w", prices.Missing(t.provider(ups), []string{name}))
		}
	}
	return nil
}

func (t Trial) provider(ups map[llm.Dialect]*upstream) string {
	for _, d := range llm.Dialects() {
		if up := ups[d]; up != nil {
			return up.provider
		}
	}
	return "unknown"
}
