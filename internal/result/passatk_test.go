package result

import (
	"maps"
	"math"
	"slices"
	"testing"
)

// Harbor test list #49
func TestPassAtK(t *testing.T) {
	t.Parallel()
	trials := func(task string, rewards ...float64) []Trial {
		var out []Trial
		for _, v := range rewards {
			r := Trial{TaskName: task}
			if !math.IsNaN(v) {
				r.VerifierResult = &VerifierResult{Rewards: map[string]float64{"reward": v}}
			}
			out = append(out, r)
		}
		return out
	}
	missing := math.NaN()
	for name, c := range map[string]struct {
		trials []Trial
		want   map[string]float64
	}{
		"two of five pass":                         {trials("a", 1, 1, 0, 0, 0), map[string]float64{"2": 0.7, "4": 1, "5": 1}},
		"a trial without a reward has failed":      {trials("a", 1, missing), map[string]float64{"2": 1}},
		"no trial has a reward":                    {trials("a", missing, missing), map[string]float64{"2": 0}},
		"the average over tasks":                   {append(trials("a", 1, 0), trials("b", 0, 0)...), map[string]float64{"2": 0.5}},
		"k ends at the task with the fewest":       {append(trials("a", 1, 0, 0, 0), trials("b", 0, 1, 1)...), map[string]float64{"2": 0.75}},
		"one trial of a task says nothing":         {append(trials("a", 1, 0), trials("b", 0)...), map[string]float64{}},
		"a reward between is no pass and no fail":  {trials("a", 1, 0.5), map[string]float64{}},
		"two rewards do not say what a pass is":    {[]Trial{{VerifierResult: &VerifierResult{Rewards: map[string]float64{"x": 1, "y": 0}}}}, map[string]float64{}},
		"an empty map of rewards says nothing":     {[]Trial{{VerifierResult: &VerifierResult{Rewards: map[string]float64{}}}}, map[string]float64{}},
		"no trials":                                {nil, map[string]float64{}},
		"multiples of five beside powers of two":   {trials("a", slices.Repeat([]float64{1}, 16)...), map[string]float64{"2": 1, "4": 1, "5": 1, "8": 1, "10": 1, "15": 1, "16": 1}},
		"many trials of which one passes, exactly": {trials("a", append(slices.Repeat([]float64{0}, 4), 1)...), map[string]float64{"2": 0.4, "4": 0.8, "5": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := passAtK(c.trials)
			if !maps.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-12 }) {
				t.Errorf("pass at k is %v, want %v", got, c.want)
			}
		})
	}
}
