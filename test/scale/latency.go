package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"oddish/api"
	"oddish/internal/store/storetest"
)

// claims takes single trials through the queue with nothing else going on.
func (b *bench) claims(ctx context.Context) error {
	var claim, progress, finish, batch times
	w := b.worker("latency")
	const rounds = 1000
	for range rounds {
		var jobs []api.Job
		if err := claim.measure(func() (err error) { jobs, err = w.claim(ctx, 1); return err }); err != nil {
			return err
		}
		if len(jobs) != 1 {
			return errors.New("nothing is queued any more")
		}
		if err := progress.measure(func() error { return w.progress(ctx, jobs[0], 1) }); err != nil {
			return err
		}
		if err := finish.measure(func() error { return w.finish(ctx, jobs[0]) }); err != nil {
			return err
		}
	}
	for range rounds / 20 {
		var jobs []api.Job
		if err := batch.measure(func() (err error) { jobs, err = w.claim(ctx, 64); return err }); err != nil {
			return err
		}
		for _, j := range jobs {
			if err := w.finish(ctx, j); err != nil {
				return err
			}
		}
	}
	row("claim of 1 trial, alone", "%s", &claim)
	row("claim of 64 trials, alone", "%s", &batch)
	row("progress report, alone", "%s", &progress)
	row("finish, alone", "%s", &finish)
	return nil
}

// lists reads what people look at.
func (b *bench) lists(ctx context.Context) error {
	ended, waiting := storetest.FilledExperiment(0), storetest.FilledExperiment(b.o.rows.Finished/storetest.TrialsPerExperiment)
	for _, path := range []string{
		"/experiments", "/tasks?include_trials=false", "/tasks?include_trials=false&experiment_id=" + ended, "/experiments/" + ended, "/experiments/" + ended + "/trials?limit=100",
		"/experiments/" + waiting + "/trials?limit=100", "/tasks/" + storetest.FilledTask(3), "/queue", "/", "/e/" + ended, "/e/" + waiting,
		"/trials/" + fmt.Sprintf("%s-%d", storetest.FilledTask(0), 7), "/metrics",
	} {
		var took times
		start := b.server.cpu()
		const rounds = 30
		for range rounds {
			if err := took.measure(func() error { return b.get(ctx, path) }); err != nil {
				return err
			}
		}
		row("GET "+path, "%s, server %s each", &took, cost(b.server.cpu()-start, rounds))
	}
	return nil
}

func (b *bench) get(ctx context.Context, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.url+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, resp.Status)
	}
	return nil
}

// enqueue submits trials of existing tasks.
func (b *bench) enqueue(ctx context.Context) error {
	for _, each := range []int{1, 100, 1000} {
		var took times
		start, cpu, n := time.Now(), b.server.cpu(), 0
		for i := 0; time.Since(start) < b.o.duration/3; i++ {
			name, kind := fmt.Sprintf("enqueue-%d", each), "builtin" // claimed by nobody here
			sweep := api.Sweep{
				TaskID: storetest.FilledTask(i % 100), User: "ann", ExperimentID: &name, Environment: &kind, Again: true,
				Configs: []api.SweepConfig{{Agent: "oracle", NTrials: each}},
			}
			if err := took.measure(func() error { _, err := b.client.Submit(ctx, sweep); return err }); err != nil {
				return err
			}
			n += each
		}
		row(fmt.Sprintf("submissions of %d trials, one after the other", each), "%.0f trials/s, %s, server %s a trial",
			float64(n)/time.Since(start).Seconds(), &took, cost(b.server.cpu()-cpu, n))
	}
	return nil
}
