package result

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"testing"
)

// TestSumsAreHarbors compares with what Harbor 0.26 made of the same eight trials; scripts/harbor-compat.sh asks the newest one.
//
// Harbor test list #48, #50
func TestSumsAreHarbors(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("testdata", "harbor-0.26")
	var trials []Trial
	var want struct { // a job's times have no zone there
		Total int `json:"n_total_trials"`
		Stats JobStats
	}
	for name, into := range map[string]any{"trials.json": &trials, "result.json": &want} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, into); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	got := NewJob(JobInput{Total: len(trials)}, trials)
	got.Stats.Evals, want.Stats.Evals = sameForm(t, got.Stats.Evals), sameForm(t, want.Stats.Evals)
	if got.Total != want.Total || !reflect.DeepEqual(got.Stats, want.Stats) {
		t.Errorf("the sums are\n%+v\nHarbor's\n%+v", got.Stats, want.Stats)
	}
}

// sameForm writes rewards as FormatReward does and sorts names: in both, Harbor depends on how a verifier wrote a number and on the disk's order.
func sameForm(t *testing.T, evals map[string]EvalStats) map[string]EvalStats {
	t.Helper()
	for _, e := range evals {
		for name, values := range e.RewardStats {
			same := map[string][]string{}
			for value, trials := range values {
				v, err := strconv.ParseFloat(value, 64)
				if err != nil {
					t.Fatal(err)
				}
				same[FormatReward(v)] = slices.Sorted(slices.Values(trials))
			}
			e.RewardStats[name] = same
		}
	}
	return evals
}
