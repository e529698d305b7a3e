package chaos

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const sampleEvery = 20 * time.Millisecond

// sampler asks the database all the time how many trials run under each key and pattern.
type sampler struct {
	in *installation

	mu         sync.Mutex
	samples    int
	failures   int // queries
	peak       map[string]int
	violations []string
}

// snapshot is what one query sees, and so what was true at one moment.
type snapshot map[string]*occupancy

// occupancy is a key or pattern at a moment.
type occupancy struct {
	limit   int
	running map[string]bool // trial and attempt
}

// run takes samples until ctx ends.
func (s *sampler) run(ctx context.Context) {
	var before snapshot
	for tick := time.NewTicker(sampleEvery); ctx.Err() == nil; {
		now, err := s.look(ctx)
		s.mu.Lock()
		switch {
		case err == nil:
			s.samples++
			s.judge(before, now)
			before = now
		case ctx.Err() == nil:
			s.failures++
		}
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			tick.Stop()
		case <-tick.C:
		}
	}
}

func (s *sampler) look(ctx context.Context) (snapshot, error) {
	rows, err := s.in.engine.db.QueryContext(ctx, `SELECT k.queue_key, k.pattern, COALESCE(k.max_running, -1), COALESCE(j.id, ''), COALESCE(j.attempt, 0)
		FROM queue_keys k LEFT JOIN jobs j ON j.queue_key = k.queue_key AND j.state = 'running'`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	now, above := snapshot{}, map[string][]string{}
	for rows.Next() {
		var key, pattern, id string
		var limit, attempt int
		if err := rows.Scan(&key, &pattern, &limit, &id, &attempt); err != nil {
			return nil, err
		}
		if now[key] == nil {
			now[key] = &occupancy{limit: limit, running: map[string]bool{}}
		}
		if id != "" {
			run := fmt.Sprintf("%s.%d", id, attempt)
			now[key].running[run] = true
			above[pattern] = append(above[pattern], run)
		}
	}
	for pattern, runs := range above {
		for _, run := range runs {
			if now[pattern] != nil {
				now[pattern].running[run] = true
			}
		}
	}
	return now, rows.Err()
}

// judge compares a snapshot with the one before. More may run than a limit allows only because the limit was lowered, and then nothing
// starts: unless it was lowered since the snapshot before, and what runs was within the limit until then.
func (s *sampler) judge(before, now snapshot) {
	for key, o := range now {
		s.peak[key] = max(s.peak[key], len(o.running))
		if o.limit < 0 || len(o.running) <= o.limit {
			continue
		}
		was := before[key]
		if was == nil {
			was = &occupancy{}
		}
		var started []string
		for run := range o.running {
			if !was.running[run] {
				started = append(started, run)
			}
		}
		if len(started) > 0 && len(o.running) > max(o.limit, was.limit) {
			s.violations = append(s.violations, fmt.Sprintf("%s %s: %d run, the limit is %d (in the sample before: %d run, limit %d); started: %q",
				time.Now().Format(time.StampMilli), key, len(o.running), o.limit, len(was.running), was.limit, started))
		}
	}
}

// waitSamples waits until n more samples were taken, so that no two changes of a limit come between two of them.
func (s *sampler) waitSamples(ctx context.Context, n int) {
	s.mu.Lock()
	until := s.samples + n
	s.mu.Unlock()
	for ctx.Err() == nil {
		s.mu.Lock()
		done := s.samples >= until
		s.mu.Unlock()
		if done {
			return
		}
		time.Sleep(sampleEvery / 2)
	}
}
