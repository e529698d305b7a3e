package queue

import "time"

const (
	// episodeGap is the least time between the beginnings of two episodes. What is reported sooner comes from the same burst, and from
	// trials that were started before the limit was lowered.
	episodeGap = 15 * time.Second
	// firstHold is how long the first episode since a success holds a key where the provider names no time; each further one doubles it.
	firstHold = 15 * time.Second
)

// adaptation is what a provider's rate limits have made of the limit of a queue key. The rules are those of congestion control: an
// episode of rate limits takes a fifth away, successes at the limit give back. The zero value is a key that never met one.
type adaptation struct {
	limit     *int // in force, below the set one; nil: the set one
	threshold *int // up to here the limit grows with each success, and above with each as many as it allows
	successes int  // at the limit, since it grew
	episodes  int  // since a success
	episodeAt time.Time
	heldUntil time.Time // nothing is started before; zero: not held
}

// effective is the limit in force where set is the one that was configured or set at run time.
func (a *adaptation) effective(set int) int {
	if a.limit == nil {
		return set
	}
	return min(*a.limit, set)
}

// held reports whether the key may start nothing at that moment.
func (a *adaptation) held(now time.Time) bool { return a.heldUntil.After(now) }

// rateLimited takes a report of a rate limit in and reports whether an episode begins with it. Otherwise it belongs to the last one
// and at most lengthens the hold. wait is what the provider asked for; 0: it did not say.
func (a *adaptation) rateLimited(set int, wait time.Duration, now time.Time) (begins bool) {
	if begins = !a.held(now) && now.Sub(a.episodeAt) >= episodeGap; begins {
		a.lower(set)
		a.episodes++
		a.episodeAt = now
	}
	until := now.Add(wait)
	if wait <= 0 {
		until = a.episodeAt.Add(backoff(firstHold, a.episodes-1))
	}
	if until.After(a.heldUntil) {
		a.heldUntil = until
	}
	return begins
}

// lower takes a fifth of the limit away; the last one stays.
func (a *adaptation) lower(set int) {
	before := a.effective(set)
	after := min(max(before*4/5, 1), before)
	if a.episodes == 0 {
		a.threshold = &after
	}
	a.adopt(after, set)
}

// succeeded takes a success in and reports whether the limit has grown by it. running counts the trials of the key, with the one that
// ends: a limit that is not used up is not known to be too low.
func (a *adaptation) succeeded(set, running int, now time.Time) (grows bool) {
	a.episodes = 0
	limit := a.effective(set)
	if limit >= set {
		a.adopt(limit, set)
		return false
	}
	if running < limit || a.held(now) {
		return false
	}
	a.successes++
	if slow := a.threshold == nil || limit >= *a.threshold; slow && a.successes < limit {
		return false
	}
	a.adopt(limit+1, set)
	return true
}

// adopt puts a limit in force. One that is the set one is none of its own.
func (a *adaptation) adopt(limit, set int) {
	a.successes = 0
	a.limit = &limit
	if limit >= set {
		a.limit, a.threshold = nil, nil
	}
}

// forget goes back to the set limit. A hold goes on.
func (a *adaptation) forget() { a.limit, a.threshold, a.successes = nil, nil, 0 }
