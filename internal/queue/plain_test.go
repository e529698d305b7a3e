package queue

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"oddish/api"
)

// plainQueue is the queue as it is meant, in memory and without regard to speed: one goroutine, no transactions, lists that
// are searched from end to end. The model test holds the real one to it.
type plainQueue struct {
	now      time.Time
	lease    time.Duration
	standard int
	given    map[string]int  // limits by key or pattern: as configured
	set      map[string]int  // set at run time
	paused   map[string]bool // keys, patterns and "*"
	adapted  map[string]*adaptation
	stopped  map[string]bool // experiments
	jobs     map[string]*plainJob
	vtimes   map[lane]int64
	served   map[string]time.Time
}

// plainJob is a trial of the plain queue.
type plainJob struct {
	id, experiment string
	index          int // in its task
	lane           lane
	rank           int64
	state          api.Status
	runs           int // started
	used, losses   int
	max            int
	available      time.Time // while retrying
	held           bool      // waits in a paused experiment
	due            bool      // retrying, and once seen to be due: a clock that is set back does not undo it
	lease          string    // while running
	until          time.Time
	cancel         bool
}

func newPlainQueue(now time.Time, standard int, limits map[string]int) *plainQueue {
	return &plainQueue{
		now: now, lease: DefaultLease, standard: standard, given: limits, set: map[string]int{}, paused: map[string]bool{},
		adapted: map[string]*adaptation{}, stopped: map[string]bool{},
		jobs: map[string]*plainJob{}, vtimes: map[lane]int64{}, served: map[string]time.Time{},
	}
}

func (r *plainQueue) limit(name string) int {
	if n, ok := r.set[name]; ok {
		return n
	}
	if n, ok := r.given[name]; ok {
		return n
	}
	if isPattern(name) {
		return math.MaxInt
	}
	return r.standard
}

// adaptation is what rate limits have made of a key's limit. Its rules have tests of their own.
func (r *plainQueue) adaptation(key string) *adaptation {
	if r.adapted[key] == nil {
		r.adapted[key] = &adaptation{}
	}
	return r.adapted[key]
}

// setLimit sets a limit at run time; a negative one restores the configured one.
func (r *plainQueue) setLimit(name string, n int) {
	r.set[name] = n
	if n < 0 {
		delete(r.set, name)
	}
	r.adaptation(name).forget()
}

func (r *plainQueue) resume(name string) {
	if a := r.adaptation(name); r.paused[name] || a.held(r.now) {
		a.heldUntil = time.Time{}
	}
	delete(r.paused, name)
}

// stop pauses an experiment, or ends that.
func (r *plainQueue) stop(experiment string, stopped bool) {
	r.stopped[experiment] = stopped
	for _, j := range r.jobs {
		switch {
		case j.experiment != experiment || j.held == stopped:
		case stopped:
			r.hold(j)
		default:
			j.held, j.due = false, j.state == api.StatusRetrying && !j.available.After(r.now)
		}
	}
}

// hold keeps a job that waits in a paused experiment.
func (r *plainQueue) hold(j *plainJob) {
	if r.stopped[j.experiment] && (j.state == api.StatusQueued || j.state == api.StatusRetrying) {
		j.held, j.due = true, false
	}
}

// sorted gives the jobs that keep says, in order of their ids.
func (r *plainQueue) sorted(keep func(*plainJob) bool) []*plainJob {
	var list []*plainJob
	for _, id := range slices.Sorted(maps.Keys(r.jobs)) {
		if keep(r.jobs[id]) {
			list = append(list, r.jobs[id])
		}
	}
	return list
}

// running counts what runs under a key or pattern.
func (r *plainQueue) running(name string) int {
	return len(r.sorted(func(j *plainJob) bool {
		return j.state == api.StatusRunning && (j.lane.key == name || patternOf(j.lane.key) == name)
	}))
}

// nextRank is the start tag of the next trial of an experiment in a lane.
func (r *plainQueue) nextRank(experiment string, at lane) int64 {
	last := r.vtimes[at]
	for _, j := range r.jobs {
		if j.experiment == experiment && j.lane == at {
			last = max(last, j.rank)
		}
	}
	return last + 1
}

// add makes trials.
func (r *plainQueue) add(ids []string, index int, experiment string, at lane, budget int) {
	for i, id := range ids {
		j := &plainJob{
			id: id, index: index + i, experiment: experiment, lane: at, rank: r.nextRank(experiment, at), state: api.StatusQueued, max: budget,
		}
		r.jobs[id] = j
		r.hold(j)
	}
}

// topUp finds what stands for n trials, and tries again what is to be tried again. The rest is to be made.
func (r *plainQueue) topUp(n int, experiment string, at lane, budget int) (existing, retried []string) {
	jobs := r.sorted(func(j *plainJob) bool { return j.experiment == experiment && j.lane.key == at.key })
	slices.SortFunc(jobs, func(a, b *plainJob) int { return cmp.Compare(a.index, b.index) })
	unsuccessful := func(j *plainJob) bool { return j.state == api.StatusFailed || j.state == api.StatusCancelled }
	for _, j := range jobs {
		if counts := !unsuccessful(j) && (j.state != api.StatusRunning || !j.cancel); counts && len(existing) < n {
			existing = append(existing, j.id)
		}
	}
	rank := r.nextRank(experiment, at)
	for _, j := range jobs {
		if unsuccessful(j) && len(existing)+len(retried) < n {
			r.retry(j)
			j.lane.priority, j.max, j.rank = at.priority, budget, rank+int64(len(retried))
			retried = append(retried, j.id)
		}
	}
	return existing, retried
}

// ready says whether a job may be claimed, limits apart.
func (r *plainQueue) ready(j *plainJob) bool {
	if j.held || r.adaptation(j.lane.key).held(r.now) {
		return false
	}
	for _, name := range []string{j.lane.key, patternOf(j.lane.key), allKeys} {
		if r.paused[name] {
			return false
		}
	}
	return j.state == api.StatusQueued || j.state == api.StatusRetrying && j.due
}

// claim chooses the jobs for so many slots: one after the other, each time from the queue key that comes first.
func (r *plainQueue) claim(slots int) []*plainJob {
	r.promote()
	free, taken := map[string]int{}, map[string]int{}
	left := func(name string) int {
		if _, known := free[name]; !known {
			free[name] = math.MaxInt
			if name != "" && r.limit(name) != math.MaxInt {
				free[name] = r.adaptation(name).effective(r.limit(name)) - r.running(name)
			}
		}
		return free[name] - taken[name]
	}
	var picked []*plainJob
	for len(picked) < slots {
		var next *plainJob
		for _, j := range r.sorted(r.ready) {
			if slices.Contains(picked, j) || left(j.lane.key) <= 0 || left(patternOf(j.lane.key)) <= 0 {
				continue
			}
			if next == nil || r.before(j, next, taken) < 0 {
				next = j
			}
		}
		if next == nil {
			break
		}
		picked = append(picked, next)
		taken[next.lane.key]++
		taken[patternOf(next.lane.key)]++
	}
	return picked
}

// before orders two jobs: priority, then the key with fewer slots in this claim, then the one served longest ago; in a
// key the rank decides.
func (r *plainQueue) before(a, b *plainJob, taken map[string]int) int {
	return cmp.Or(
		cmp.Compare(a.lane.priority, b.lane.priority),
		cmp.Compare(taken[a.lane.key], taken[b.lane.key]),
		r.served[a.lane.key].Compare(r.served[b.lane.key]),
		cmp.Compare(a.lane.key, b.lane.key),
		cmp.Compare(a.rank, b.rank),
		cmp.Compare(a.id, b.id),
	)
}

// start gives picked jobs to a worker, under the leases that it got.
func (r *plainQueue) start(picked []*plainJob, leases []string) {
	for i, j := range picked {
		j.state, j.lease, j.until, j.available = api.StatusRunning, leases[i], r.now.Add(r.lease), time.Time{}
		j.runs++
		r.vtimes[j.lane] = max(r.vtimes[j.lane], j.rank)
	}
	for _, j := range picked {
		r.served[j.lane.key] = r.now
	}
}

func (r *plainQueue) heartbeat(id, lease string) (lost, cancel bool) {
	j := r.jobs[id]
	if j.state != api.StatusRunning || j.lease != lease {
		return true, false
	}
	j.until = r.now.Add(r.lease)
	return false, j.cancel
}

// finish ends the run of a job whose lease is held.
func (r *plainQueue) finish(j *plainJob, f api.Finish) {
	switch a := r.adaptation(j.lane.key); {
	case rateLimited(&f):
		a.rateLimited(r.limit(j.lane.key), askedWait(&f), r.now)
	case f.Outcome == api.StatusSuccess && (a.limit != nil || a.episodes > 0):
		a.succeeded(r.limit(j.lane.key), r.running(j.lane.key), r.now)
	}
	switch {
	case f.Outcome == api.StatusSuccess:
		j.used++
		r.settle(j, api.StatusSuccess)
	case f.Outcome == api.StatusCancelled:
		r.lose(j)
	case j.cancel:
		j.used++
		r.settle(j, api.StatusCancelled)
	case f.ErrorClass == api.ClassResult || f.ErrorClass == api.ClassPermanent || j.used+1 >= j.max:
		j.used++
		r.settle(j, api.StatusFailed)
	default:
		// The draw of the test's queue is always one half: no change of the delay, or an eighth more.
		delay := min(10*time.Second<<j.used, 15*time.Minute)
		if asked := askedWait(&f); rateLimited(&f) && asked > 0 {
			delay = asked * 9 / 8
		} else if rateLimited(&f) {
			delay = min(time.Minute<<j.used, 15*time.Minute) * 9 / 8
		}
		j.available = r.now.Add(delay)
		j.used++
		r.settle(j, api.StatusRetrying)
	}
}

// lose ends a run that is nobody's fault.
func (r *plainQueue) lose(j *plainJob) {
	switch {
	case j.cancel:
		r.settle(j, api.StatusCancelled)
	case j.losses >= 5:
		j.losses++
		r.settle(j, api.StatusFailed)
	default:
		j.losses++
		j.available = r.now
		r.settle(j, api.StatusRetrying)
	}
}

func (r *plainQueue) settle(j *plainJob, to api.Status) {
	j.state, j.lease, j.until, j.held = to, "", time.Time{}, false
	j.due = to == api.StatusRetrying && !j.available.After(r.now)
	if to.Terminal() {
		j.available = time.Time{}
	}
	r.hold(j)
}

// promote finds the retries that have become due.
func (r *plainQueue) promote() {
	for _, j := range r.jobs {
		j.due = j.due || !j.held && j.state == api.StatusRetrying && !j.available.After(r.now)
	}
}

// reap ends the runs whose leases have run out.
func (r *plainQueue) reap() {
	r.promote()
	for _, a := range r.adapted {
		if !a.held(r.now) { // for good: a clock that is set back does not undo it
			a.heldUntil = time.Time{}
		}
	}
	for _, j := range r.sorted(func(j *plainJob) bool { return j.state == api.StatusRunning && !j.until.After(r.now) }) {
		r.lose(j)
	}
}

func (r *plainQueue) cancel(match func(*plainJob) bool) {
	for _, j := range r.sorted(match) {
		switch j.state {
		case api.StatusQueued, api.StatusRetrying:
			r.settle(j, api.StatusCancelled)
		case api.StatusRunning:
			j.cancel = true
		}
	}
}

// retry queues a job that has ended once more.
func (r *plainQueue) retry(j *plainJob) {
	j.rank = r.nextRank(j.experiment, j.lane)
	j.state, j.used, j.losses, j.cancel, j.available = api.StatusQueued, 0, 0, false, time.Time{}
	r.hold(j)
}
