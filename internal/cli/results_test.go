package cli

import (
	"testing"

	"oddish/api"
)

func TestTheFirstLineOfAListNamesWhatIsListedFirst(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                               "",
		" one\ntwo":                      "one",
		"it lacks:\n  a Dockerfile\n  b": "it lacks: a Dockerfile",
		"nothing follows:":               "nothing follows:",
	} {
		if got := firstLine(text); got != want {
			t.Errorf("of %q got %q, want %q", text, got, want)
		}
	}
}

func TestARewardOfSeveralIsJudgedByAll(t *testing.T) {
	t.Parallel()
	one, half := 1.0, 0.5
	for name, tt := range map[string]struct {
		trial api.Trial
		want  bool
	}{
		"one":                            {api.Trial{Reward: &one}, true},
		"a part":                         {api.Trial{Reward: &half, Rewards: map[string]float64{"reward": 0.5, "style": 1}}, false},
		"several that are all so":        {api.Trial{Rewards: map[string]float64{"speed": 1, "style": 1}}, true},
		"several of which one is not so": {api.Trial{Rewards: map[string]float64{"speed": 0, "style": 1}}, false},
		"none":                           {api.Trial{}, false},
	} {
		if got := rewarded(tt.trial, 1); got != tt.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
