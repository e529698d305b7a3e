package worker

import (
	"net/http"
	"slices"
	"testing"

	"oddish/api"
	"oddish/internal/llm/fakellm"
	"oddish/internal/trial"
)

func TestWhatBecomesOfCallsOfOtherModels(t *testing.T) {
	t.Parallel()
	const own, helper, unpriced = "claude-sonnet-4-5", "claude-haiku-4-5", "claude-of-our-own"
	for name, c := range map[string]struct {
		change func(*api.AgentConfig)
		sent   map[string]string // by the model that is asked for; empty: refused
	}{
		"they go to them":                     {nil, map[string]string{helper: helper, unpriced: unpriced}},
		"under a budget of money, with price": {func(c *api.AgentConfig) { c.Budget = &api.Budget{USD: new(9.0)} }, map[string]string{helper: helper, unpriced: ""}},
		"same":                                {func(c *api.AgentConfig) { c.HelperModel = "same" }, map[string]string{helper: own, unpriced: own}},
		"refuse":                              {func(c *api.AgentConfig) { c.HelperModel = "refuse" }, map[string]string{helper: "", unpriced: ""}},
		"a model":                             {func(c *api.AgentConfig) { c.HelperModel = "anthropic/claude-opus-4-5" }, map[string]string{helper: "claude-opus-4-5", unpriced: "claude-opus-4-5"}},
		"an address":                          {func(c *api.AgentConfig) { c.BaseURL = "theirs" }, map[string]string{helper: own}},
		"an address that has all of them":     {func(c *api.AgentConfig) { c.BaseURL, c.HelperModel = "theirs", "allow" }, map[string]string{helper: helper}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoors(t, fakellm.Script{Turns: []fakellm.Turn{{Text: "hello"}}})
			env := map[string]string{"ANTHROPIC_API_KEY": usersKey}
			s := d.open(d.door(t.TempDir(), func(s *api.TrialSpec) {
				if c.change != nil {
					c.change(&s.AgentConfig)
				}
				if s.AgentConfig.BaseURL != "" {
					s.AgentConfig.BaseURL = d.env["ANTHROPIC_BASE_URL"]
				}
			}), trial.ModelRequest{Env: env})
			want := []string{own}
			mustAsk(t, s)
			for asked, sent := range c.sent {
				status, answer := askFor(t, s, asked, "a title")
				if (status == http.StatusOK) != (sent != "") {
					t.Errorf("%s is answered with %d %s", asked, status, answer)
				}
				if sent != "" && !slices.Contains(want, sent) {
					want = append(want, sent)
				}
			}
			var got []string
			for _, m := range s.Close().Models {
				got = append(got, m.Model)
				if (m.Price == nil) != (m.CostUSD == nil) || m.Provider != "anthropic" {
					t.Errorf("model is %+v", m)
				}
			}
			if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("models that were called are %q, want %q", got, want)
			}
		})
	}
}
