package cli

import (
	"testing"

	"oddish/api"
)

func TestATaskIsRightWhenItsSolutionAlwaysPassesAndNothingNeverDoes(t *testing.T) {
	t.Parallel()
	trial := func(agent string, status api.Status, reward ...float64) api.Trial {
		tr := api.Trial{ID: "t-1", Agent: agent, Status: status}
		if len(reward) > 0 {
			tr.Reward = &reward[0]
		}
		return tr
	}
	ok := func(agent string, reward float64) api.Trial { return trial(agent, api.StatusSuccess, reward) }
	tests := map[string]struct {
		trials   []api.Trial
		want     string
		problems int
	}{
		"right":                     {[]api.Trial{ok("oracle", 1), ok("oracle", 1), ok("nop", 0), ok("nop", 0)}, verdictOK, 0},
		"the solution never passes": {[]api.Trial{ok("oracle", 0), ok("oracle", 0.5), ok("nop", 0)}, verdictWrong, 2},
		"nothing passes":            {[]api.Trial{ok("oracle", 1), ok("nop", 1)}, verdictWrong, 1},
		"the solution sometimes":    {[]api.Trial{ok("oracle", 1), ok("oracle", 0), ok("nop", 0)}, verdictFlaky, 1},
		"nothing passes sometimes":  {[]api.Trial{ok("oracle", 1), ok("nop", 0), ok("nop", 1)}, verdictFlaky, 1},
		"a trial failed":            {[]api.Trial{ok("oracle", 1), trial("oracle", api.StatusFailed), ok("nop", 0)}, verdictError, 1},
		"a trial was cancelled":     {[]api.Trial{ok("oracle", 1), trial("nop", api.StatusCancelled)}, verdictError, 1},
		"no reward":                 {[]api.Trial{trial("oracle", api.StatusSuccess), ok("nop", 0)}, verdictWrong, 1},
		"a reward above one":        {[]api.Trial{ok("oracle", 2), ok("nop", 0)}, verdictWrong, 1},
		"no trials":                 {nil, verdictWrong, 0},
	}
	for name, tt := range tests {
		got := validateTask(tt.trials, "http://server/t/")
		if got.Verdict != tt.want || len(got.Problems) != tt.problems {
			t.Errorf("%s: %s with %d problems, want %s with %d", name, got.Verdict, len(got.Problems), tt.want, tt.problems)
		}
		if len(got.Problems) > 0 && got.Problems[0].TrialURL != "http://server/t/t-1" {
			t.Errorf("%s: logs at %s", name, got.Problems[0].TrialURL)
		}
	}
}
