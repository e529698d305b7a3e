package trial

import (
	"fmt"
	"testing"

	"oddish/api"
	"oddish/internal/sandbox/fake"
)

// BenchmarkTrialOverhead is everything that a trial costs besides its sandbox: directory, journal
// (durable at every step), uploads and downloads, result.
func BenchmarkTrialOverhead(b *testing.B) {
	for _, agent := range []string{"nop", "oracle"} {
		b.Run(agent, func(b *testing.B) {
			p := fake.New()
			c := config(b, p, writeTask(b, nil))
			c.Spec.Agent = agent
			n := 0
			for b.Loop() {
				n++
				c.Spec.TrialName = fmt.Sprintf("demo__%07d", n)
				if o := Run(b.Context(), c); o.Finish.Outcome != api.StatusSuccess {
					b.Fatalf("trial ended with %+v", o.Finish)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "trials/s")
		})
	}
}
