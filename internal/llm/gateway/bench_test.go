package gateway_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
)

// clockwork is a provider that streams events with the time of their sending in them.
func clockwork(events int, every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		flush := http.NewResponseController(w).Flush
		tick := time.NewTicker(every)
		defer tick.Stop()
		for n := range events {
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a word or two\"}}],\"id\":\"%d\"}\n\n", time.Now().UnixNano())
			if flush() != nil {
				return
			}
			if n < events-1 {
				<-tick.C
			}
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":20}}\n\ndata: [DONE]\n\n")
	})
}

// latencies reads a stream of clockwork's and gives how old its events were on arrival.
func latencies(b *testing.B, url string, body string) []time.Duration {
	got, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return nil
	}
	defer got.Body.Close()
	var list []time.Duration
	lines := bufio.NewScanner(got.Body)
	for lines.Scan() {
		var sent int64
		if _, id, has := strings.Cut(lines.Text(), `"id":"`); has {
			if _, err := fmt.Sscanf(id, "%d", &sent); err == nil {
				list = append(list, time.Since(time.Unix(0, sent)))
			}
		}
	}
	if err := lines.Err(); err != nil {
		b.Error(err)
	}
	return list
}

// load runs streams at once and gives all their latencies.
func load(b *testing.B, streams int, url, body string) []time.Duration {
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for range streams {
		wg.Go(func() {
			list := latencies(b, url, body)
			mu.Lock()
			defer mu.Unlock()
			all = append(all, list...)
		})
	}
	wg.Wait()
	slices.Sort(all)
	return all
}

// peak watches the live heap until stopped.
func peak() (stop func() uint64) {
	quit, done := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-quit:
				done <- most
				return
			case <-tick.C:
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				most = max(most, m.HeapInuse+m.StackInuse)
			}
		}
	}()
	return func() uint64 { close(quit); return <-done }
}

// Benchmark200Streams measures what the gateway adds to each event of 200 streams that run at once, with prompts of 200 KB; provider, gateway and
// agents share this process, so the memory is that of all three.
func Benchmark200Streams(b *testing.B) {
	const streams, events, every = 200, 40, 50 * time.Millisecond
	provider := httptest.NewServer(clockwork(events, every))
	defer provider.Close()
	g := gateway.New(gateway.Config{})
	front := httptest.NewServer(g.Handler())
	defer front.Close()
	s, err := g.Open(gateway.Trial{Upstreams: map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: provider.URL, Key: providerKey}}})
	if err != nil {
		b.Fatal(err)
	}
	body := `{"model":"gpt-5","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("a long prompt ", 200<<10/14) + `"}]}`
	for b.Loop() {
		direct := load(b, streams, provider.URL, body)
		stop := peak()
		through := load(b, streams, front.URL+s.Path()+"/v1/chat/completions", body)
		memory := stop()
		p50, p99 := len(through)/2, len(through)*99/100
		b.ReportMetric(float64((through[p50] - direct[p50]).Microseconds()), "added-p50-µs")
		b.ReportMetric(float64((through[p99] - direct[p99]).Microseconds()), "added-p99-µs")
		b.ReportMetric(float64(memory)/(1<<20), "peak-MB")
	}
	if total := s.Close(); total.Calls == 0 || total.Estimated {
		b.Errorf("calls %d, estimated %t", total.Calls, total.Estimated)
	}
}

// BenchmarkCall is the cost of one short call from end to end.
func BenchmarkCall(b *testing.B) {
	for _, d := range llm.Dialects() {
		b.Run(string(d), func(b *testing.B) {
			r := newRig(b, fakellm.Default(), quick())
			body := ask(d, true, 0)
			for b.Loop() {
				r.post(d, true, body)
			}
		})
	}
}
