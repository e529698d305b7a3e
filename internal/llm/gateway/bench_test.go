package gateway_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/llm"
	"oddish/internal/llm/fakellm"
	"oddish/internal/llm/gateway"
	"oddish/internal/llm/transcript"
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

// latencies reads a stream of clockwork's and gives how long the first event took from the request on, and how old all were on arrival.
func latencies(b *testing.B, url string, body string) (first time.Duration, list []time.Duration) {
	asked := time.Now()
	got, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		b.Error(err)
		return 0, nil
	}
	defer got.Body.Close()
	lines := bufio.NewScanner(got.Body)
	for lines.Scan() {
		var sent int64
		if _, id, has := strings.Cut(lines.Text(), `"id":"`); has {
			if _, err := fmt.Sscanf(id, "%d", &sent); err == nil {
				if list = append(list, time.Since(time.Unix(0, sent))); len(list) == 1 {
					first = time.Since(asked)
				}
			}
		}
	}
	if err := lines.Err(); err != nil {
		b.Error(err)
	}
	return first, list
}

// load runs streams at once, which begin one after the other so far apart, and gives how long their first events took, and how old all were.
func load(b *testing.B, streams int, apart time.Duration, url, body string) (firsts, all []time.Duration) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for n := range streams {
		wg.Go(func() {
			time.Sleep(time.Duration(n) * apart)
			first, list := latencies(b, url, body)
			mu.Lock()
			defer mu.Unlock()
			firsts, all = append(firsts, first), append(all, list...)
		})
	}
	wg.Wait()
	slices.Sort(firsts)
	slices.Sort(all)
	return firsts, all
}

// added is how much longer a part of the events took.
func added(direct, through []time.Duration, part float64) float64 {
	at := func(list []time.Duration) time.Duration { return list[int(part*float64(len(list)-1))] }
	return float64((at(through) - at(direct)).Microseconds())
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

// Benchmark200Streams measures what the gateway, which keeps a transcript, adds to each event of 200 streams that run at once, with prompts of 200 KB, and to the
// time until the first one; provider, gateway and agents share this process, so the memory is that of all three.
func Benchmark200Streams(b *testing.B) {
	b.Run("one after the other", func(b *testing.B) { benchmarkStreams(b, 5*time.Millisecond) })
	b.Run("all at one moment", func(b *testing.B) { benchmarkStreams(b, 0) })
}

func benchmarkStreams(b *testing.B, apart time.Duration) {
	const streams, events, every = 200, 40, 50 * time.Millisecond
	provider := httptest.NewServer(clockwork(events, every))
	defer provider.Close()
	g := gateway.New(gateway.Config{})
	front := httptest.NewServer(g.Handler())
	defer front.Close()
	record, err := transcript.NewPool().Open(filepath.Join(b.TempDir(), "record"))
	if err != nil {
		b.Fatal(err)
	}
	defer record.Close() //nolint:errcheck // a disk that is full shows in the figures
	s, err := g.Open(gateway.Trial{Transcript: record, Upstreams: map[llm.Dialect]gateway.Upstream{llm.Chat: {BaseURL: provider.URL, Key: providerKey}}})
	if err != nil {
		b.Fatal(err)
	}
	body := `{"model":"gpt-5","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("a long prompt ", 200<<10/14) + `"}]}`
	for b.Loop() {
		directFirst, direct := load(b, streams, apart, provider.URL, body)
		stop := peak()
		throughFirst, through := load(b, streams, apart, front.URL+s.Path()+"/v1/chat/completions", body)
		memory := stop()
		b.ReportMetric(added(directFirst, throughFirst, 0.5), "added-first-p50-µs")
		b.ReportMetric(added(direct, through, 0.5), "added-p50-µs")
		b.ReportMetric(added(direct, through, 0.99), "added-p99-µs")
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
