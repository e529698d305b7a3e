package worker

import (
	"context"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"testing"
	"time"

	"oddish/api"
	"oddish/client"
	"oddish/internal/sandbox"
)

// BenchmarkNoOpTrials measures what the worker and the protocol cost for each trial: a thousand
// trials that do nothing, over HTTP on the loopback, against a server that keeps all in memory.
func BenchmarkNoOpTrials(b *testing.B) {
	const trials = 1000
	archive, digest := testTask(b, "hello")
	for b.Loop() {
		s := newFakeServer(b)
		s.archives[""] = archive
		h := httptest.NewServer(s.handler())
		c := client.New(h.URL, client.Options{})
		w, err := New(Config{
			Server: c, ID: "bench", Slots: 8, Providers: []sandbox.Provider{&stubProvider{}}, Dir: b.TempDir(), Owner: "me",
			Log: slog.New(slog.DiscardHandler), run: success, resources: func(string, api.TrialSpec) need { return need{} },
		})
		if err != nil {
			b.Fatal(err)
		}
		ctx, stop := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- w.Run(ctx) }()
		for i := range trials {
			id := fmt.Sprint(i)
			s.enqueue(api.Job{ID: id, Attempt: 1, Lease: "l" + id, Trial: api.TrialSpec{
				TrialID: id, TrialName: "t" + id, TaskID: "t", TaskName: "t", TaskDigest: digest, Environment: testKind,
			}})
		}
		for i := range trials {
			for s.job(fmt.Sprint(i)).finished == nil { // not claimed yet
				time.Sleep(time.Millisecond)
			}
			<-s.job(fmt.Sprint(i)).finished
		}
		stop()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		c.Close()
		h.Close()
	}
	b.ReportMetric(trials*float64(b.N)/b.Elapsed().Seconds(), "trials/s")
}
