package queue

import (
	"fmt"
	"time"

	"oddish/api"
)

const (
	// maxLosses bounds how often a trial is taken up again after its worker was lost: it may be what kills workers.
	maxLosses = 5

	rateLimitDelay      = 60 * time.Second
	infrastructureDelay = 10 * time.Second
	maxDelay            = 15 * time.Minute
	// maxRetryAfter bounds what a provider may ask for.
	maxRetryAfter = 24 * time.Hour
	// jitter spreads retries by this part of their delay.
	jitter = 0.25
)

// errorWorkerLost is the error type of a run whose lease ended without a word.
const errorWorkerLost = "WorkerLost"

// verdict is what becomes of a job whose run has ended.
type verdict struct {
	state       api.Status
	availableAt time.Time // of a retry
	used        bool      // the run used up an attempt
	lost        bool      // the run counts as a loss
}

// decide says what becomes of a job after the worker's report. random is in [0, 1).
func decide(j *job, f *api.Finish, now time.Time, random float64) (verdict, error) {
	switch f.Outcome {
	case api.StatusSuccess:
		// Also when a cancel came too late: the work is done.
		return verdict{state: api.StatusSuccess, used: true}, nil
	case api.StatusCancelled:
		return lost(j, now), nil
	case api.StatusFailed:
		return failed(j, f, now, random), nil
	}
	return verdict{}, fmt.Errorf("finish job %s: outcome %q is none of success, failed, cancelled", j.id, f.Outcome)
}

// lost says what becomes of a job whose run ended through no fault of its own, because the worker died or gave it back.
func lost(j *job, now time.Time) verdict {
	switch {
	case j.cancelRequested != 0:
		return verdict{state: api.StatusCancelled}
	case j.losses >= maxLosses:
		return verdict{state: api.StatusFailed, lost: true}
	}
	return verdict{state: api.StatusRetrying, availableAt: now, lost: true}
}

func failed(j *job, f *api.Finish, now time.Time, random float64) verdict {
	final := f.ErrorClass == api.ClassResult || f.ErrorClass == api.ClassPermanent
	switch {
	case j.cancelRequested != 0:
		// What fails while it is being cancelled most likely fails for that.
		return verdict{state: api.StatusCancelled, used: true}
	case final || j.used+1 >= j.maxAttempts:
		return verdict{state: api.StatusFailed, used: true}
	}
	return verdict{state: api.StatusRetrying, availableAt: now.Add(retryDelay(j.used, f, random)), used: true}
}

// retryDelay is the wait before the next attempt, after failures that used up so many attempts before this one. An error
// without a class counts as infrastructure.
func retryDelay(failures int, f *api.Finish, random float64) time.Duration {
	if f.ErrorClass != api.ClassRateLimit {
		return spread(backoff(infrastructureDelay, failures), 1-jitter+2*jitter*random)
	}
	// Never earlier than the provider wants.
	if f.RetryAfterSec != nil && *f.RetryAfterSec > 0 {
		asked := time.Duration(min(*f.RetryAfterSec, maxRetryAfter.Seconds()) * float64(time.Second))
		return spread(asked, 1+jitter*random)
	}
	return spread(backoff(rateLimitDelay, failures), 1+jitter*random)
}

func backoff(first time.Duration, failures int) time.Duration {
	delay := first
	for range failures {
		delay = min(2*delay, maxDelay)
	}
	return delay
}

func spread(delay time.Duration, factor float64) time.Duration {
	return time.Duration(float64(delay) * factor)
}
