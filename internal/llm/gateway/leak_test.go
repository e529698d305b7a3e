package gateway_test

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
)

// It is not parallel, so that the goroutines are its own.
func TestNothingIsLeftAfterAStormOfTroubles(t *testing.T) {
	script := fakellm.Default()
	for _, kind := range []fakellm.FaultKind{fakellm.RateLimit, fakellm.Drop, fakellm.Cut, fakellm.ErrorBody, fakellm.ServerError, fakellm.Hang, fakellm.WrongJSON} {
		script.Faults = append(script.Faults, fakellm.Fault{Kind: kind, Times: 40, After: 6})
	}
	c := quick()
	c.StreamIdle, c.HeaderTimeout = 50*time.Millisecond, 50*time.Millisecond
	before := runtime.NumGoroutine()
	r := newRig(t, script, c)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var wg sync.WaitGroup
	for n := range 400 {
		d, stream := llm.Dialects()[n%4], n%3 != 0
		wg.Go(func() {
			ctx, leave := context.WithTimeout(t.Context(), time.Duration(n%10+1)*20*time.Millisecond) // some leave early
			defer leave()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.front.URL+r.session.Path()+path(d, stream, modelOf(d)), strings.NewReader(ask(d, stream, 0)))
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := client.Do(request); err == nil {
				for err == nil {
					_, err = got.Body.Read(make([]byte, 4096))
				}
				got.Body.Close()
			}
		})
	}
	wg.Wait()
	sum := r.session.Close()
	if sum.Requests == 0 || sum.Calls > sum.Requests {
		t.Errorf("requests %d, calls %d", sum.Requests, sum.Calls)
	}
	r.front.Close()
	r.upstream.CloseClientConnections()
	r.upstream.Close()
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before+4; runtime.Gosched() {
		if time.Now().After(deadline) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), buf[:runtime.Stack(buf, true)])
		}
	}
}
