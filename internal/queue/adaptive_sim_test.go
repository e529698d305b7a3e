package queue

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"oddish/api"
	"oddish/internal/store/storetest"
)

// provider is a simulated one: it refuses those of the trials that are started while it already serves as many as it can. Trials are real
// ones of a queue, and end at their moments on the test's clock.
type provider struct {
	*fixture
	capacity int
	serving  int
	rng      *rand.Rand
	ends     endings
}

// ending is a run that is to end.
type ending struct {
	at      time.Time
	run     Claimed
	refused bool
}

type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(a, b int) bool { return e[a].at.Before(e[b].at) }
func (e endings) Swap(a, b int)      { e[a], e[b] = e[b], e[a] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	*e = (*e)[:last]
	return x
}

// start claims what may be started.
func (p *provider) start() {
	p.t.Helper()
	for _, run := range p.claim(100) {
		e := ending{run: run, refused: p.serving >= p.capacity}
		took := time.Duration(5000+p.rng.IntN(15000)) * time.Millisecond
		if e.refused {
			took = time.Duration(500+p.rng.IntN(1500)) * time.Millisecond
		} else {
			p.serving++
		}
		e.at = p.clock.now().Add(took)
		heap.Push(&p.ends, e)
	}
}

// step goes to the next moment at which a run ends or the queue has something to do, but not past until.
func (p *provider) step(until time.Time) {
	p.t.Helper()
	next := until
	if due, err := p.nextDue(p.t.Context()); err != nil {
		p.t.Fatal(err)
	} else if due != nil && due.Before(next) {
		next = *due
	}
	if len(p.ends) > 0 && p.ends[0].at.Before(next) {
		next = p.ends[0].at
	}
	p.clock.advance(max(next.Sub(p.clock.now()), 0))
	p.reap()
	for len(p.ends) > 0 && !p.ends[0].at.After(p.clock.now()) {
		e := heap.Pop(&p.ends).(ending)
		report := success(1)
		if e.refused {
			report = failure(api.ClassRateLimit)
		} else {
			p.serving--
		}
		p.finish(e.run, report)
	}
	p.start()
}

func (p *provider) limit() int {
	p.t.Helper()
	k, _, err := p.Key(p.t.Context(), simulatedKey)
	if err != nil {
		p.t.Fatal(err)
	}
	if k.Effective != nil {
		return *k.Effective
	}
	return *k.Limit
}

const simulatedKey = "openai/simulated"

func TestLimitsFindTheCapacityOfAProvider(t *testing.T) {
	t.Parallel()
	if raceDetector || storetest.Postgres() || testing.Short() {
		t.Skip("thousands of runs, one after the other: neither the engine nor the race detector has anything to find in them")
	}
	for _, capacity := range []int{5, 12, 20, 40} {
		t.Run(fmt.Sprint("capacity ", capacity), func(t *testing.T) {
			t.Parallel()
			p := &provider{
				fixture:  newFixture(t, Options{Limits: map[string]int{simulatedKey: 64}, Lease: time.Hour}),
				capacity: capacity, rng: rand.New(rand.NewPCG(uint64(capacity), 1)),
			}
			for range 5 {
				p.add("e", simulatedKey, 600)
			}
			begin := p.clock.now()
			p.start()
			var area float64
			from, last := begin.Add(3*time.Minute), begin
			until := begin.Add(6 * time.Minute)
			for p.clock.now().Before(until) {
				before := p.limit()
				p.step(until)
				if now := p.clock.now(); now.After(from) {
					area += float64(before) * now.Sub(later(last, from)).Seconds()
					last = now
				}
			}
			mean := area / until.Sub(from).Seconds()
			if low, high := 0.8*float64(capacity), 1.2*float64(capacity); mean < low || mean > high {
				t.Errorf("the mean limit is %.1f after three minutes, want %.1f to %.1f", mean, low, high)
			}
			checkEpisodes(t, p.fixture)
		})
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// checkEpisodes reads the whole history of the key.
func checkEpisodes(t *testing.T, f *fixture) {
	t.Helper()
	rows, err := f.db.Read().QueryContext(t.Context(), "SELECT at, from_limit, to_limit FROM queue_changes WHERE kind = 'rate_limit' ORDER BY seq")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var last int64
	n := 0
	for rows.Next() {
		var at int64
		var from, to int
		if err := rows.Scan(&at, &from, &to); err != nil {
			t.Fatal(err)
		}
		if gap := time.Duration(at-last) * time.Millisecond; gap < episodeGap {
			t.Errorf("an episode began %s after the one before", gap)
		}
		if to != max(from*4/5, 1) {
			t.Errorf("an episode brought the limit from %d to %d", from, to)
		}
		last = at
		n++
	}
	if err := rows.Err(); err != nil || n == 0 {
		t.Errorf("%d episodes, %v", n, err)
	}
}
