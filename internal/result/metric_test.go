package result

import (
	"reflect"
	"testing"
)

// Harbor test list #50, #51
func TestMetrics(t *testing.T) {
	t.Parallel()
	with := func(rewards map[string]float64) Trial {
		return Trial{VerifierResult: &VerifierResult{Rewards: rewards}}
	}
	one := []Trial{with(map[string]float64{"reward": 1}), with(map[string]float64{"reward": 0.5}), {}}
	two := []Trial{with(map[string]float64{"a": -1, "b": 2}), with(map[string]float64{"b": 4})}
	for name, c := range map[string]struct {
		trials  []Trial
		metrics []string
		want    []map[string]float64
	}{
		"the mean if none is named":       {one, nil, []map[string]float64{{"mean": 0.5}}},
		"all of them, a missing one is 0": {one, []string{"max", "min", "sum", "mean"}, []map[string]float64{{"max": 1}, {"min": 0}, {"sum": 1.5}, {"mean": 0.5}}},
		"several rewards":                 {two, []string{"max", "min"}, []map[string]float64{{"a": 0, "b": 4}, {"a": -1, "b": 2}}},
		"no rewards":                      {[]Trial{{}}, []string{"max"}, []map[string]float64{{"max": 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sumUp(c.trials, c.metrics); !reflect.DeepEqual(got, c.want) {
				t.Errorf("metrics are %v, want %v", got, c.want)
			}
		})
	}
	if Metric("uv-script") || !Metric("sum") {
		t.Error("Metric takes a script, or no sum")
	}
}
