package chaos

import (
	"context"
	"testing"
	"time"
)

func TestServersAndWorkersDieOnPostgreSQL(t *testing.T) {
	e := postgresEngine(t)
	ordeal(t, install(t, workDir(t), e, 2, 4))
}

func TestServerAndWorkersDieOnSQLite(t *testing.T) {
	dir := workDir(t)
	ordeal(t, install(t, dir, sqliteEngine(t, dir), 1, 2))
}

// ordeal submits trials, breaks things, waits until all trials have ended and looks at what is there.
func ordeal(t *testing.T, in *installation) {
	t.Helper()
	t.Logf("seed %d: repeat with -chaos.seed=%d -chaos.time=%s -chaos.trials=%d", *chaosSeed, *chaosSeed, *chaosTime, *chaosTrials)
	began := time.Now()
	in.startServers()
	in.waitServers()
	l := in.submit(*chaosTrials, *chaosTime)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := &sampler{in: in, peak: map[string]int{}}
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		s.run(ctx)
	}()
	for _, m := range in.workers {
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
	}
	h := newHavoc(t, in, l, s)
	h.wreak(ctx, *chaosTime)
	broken := time.Since(began)
	in.waitServers()
	h.restore()
	in.waitEnd()
	ended := time.Since(began)
	in.waitTidy()
	cancel()
	<-sampled

	a := &aftermath{installation: in, havoc: h, sampler: s}
	a.check()
	for _, m := range append(append([]*member{}, in.workers...), in.servers...) {
		if err := m.drain(patience); err != nil {
			t.Error(err)
		}
	}
	t.Logf("chaos ended after %s, the last trial after %s: %s", broken.Round(time.Second), ended.Round(time.Second), h.summary())
	t.Log(a.figures())
}
