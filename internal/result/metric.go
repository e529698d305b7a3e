package result

import (
	"slices"
)

// metricMean is the metric of data sets that name none.
const metricMean = "mean"

// Metric reports whether rewards can be summed up in the way of that name.
func Metric(name string) bool {
	return slices.Contains([]string{"sum", "min", "max", metricMean}, name)
}

// sumUp gives each metric (no names: the mean) of each reward over all trials, one without a reward counting as 0; that of a single reward is
// called by the metric's name.
func sumUp(trials []Trial, metrics []string) []map[string]float64 {
	if len(metrics) == 0 {
		metrics = []string{metricMean}
	}
	names := map[string]bool{}
	for _, t := range trials {
		if t.VerifierResult != nil {
			for name := range t.VerifierResult.Rewards {
				names[name] = true
			}
		}
	}
	var out []map[string]float64
	for _, metric := range metrics {
		m := map[string]float64{}
		if len(names) == 0 {
			m[metric] = 0
		}
		for name := range names {
			key := name
			if len(names) == 1 {
				key = metric
			}
			m[key] = aggregate(metric, values(trials, name))
		}
		out = append(out, m)
	}
	return out
}

// values are the values of a reward, 0 where a trial has none.
func values(trials []Trial, name string) []float64 {
	out := make([]float64, len(trials))
	for i, t := range trials {
		if t.VerifierResult != nil {
			out[i] = t.VerifierResult.Rewards[name]
		}
	}
	return out
}

// aggregate sums up one number or more.
func aggregate(metric string, values []float64) float64 {
	switch metric {
	case "min":
		return slices.Min(values)
	case "max":
		return slices.Max(values)
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	if metric == metricMean {
		sum /= float64(len(values))
	}
	return sum
}
