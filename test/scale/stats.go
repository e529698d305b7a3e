package main

import (
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// times gathers how long calls took, from many goroutines.
type times struct {
	mu   sync.Mutex
	took []time.Duration
}

func (t *times) add(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.took = append(t.took, d)
}

// measure notes how long fn took, if it succeeds.
func (t *times) measure(fn func() error) error {
	start := time.Now()
	err := fn()
	if err == nil {
		t.add(time.Since(start))
	}
	return err
}

// String gives the median and the tail in milliseconds.
func (t *times) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.took) == 0 {
		return "none"
	}
	slices.Sort(t.took)
	return fmt.Sprintf("p50 %.2f ms, p99 %.2f ms, max %.1f ms (n=%d)", ms(t.at(0.50)), ms(t.at(0.99)), ms(t.took[len(t.took)-1]), len(t.took))
}

func (t *times) at(part float64) time.Duration { return t.took[int(part*float64(len(t.took)-1))] }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// cost is processor time per thing done.
func cost(spent time.Duration, n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", ms(spent)/float64(n))
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
