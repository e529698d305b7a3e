package cli

import (
	"time"

	"oddish/api"
)

// board is what is known of the trials that are watched. It is used from one goroutine.
type board struct {
	rows []*boardRow
	byID map[string]*boardRow
}

// boardRow is one trial on the board.
type boardRow struct {
	id, name, agent string
	model           string
	attempt         int
	status          api.Status
	stage           api.Stage
	since           time.Time // start of the stage, by this machine's clock
	reward          *float64
	errorType       string
}

// newBoard puts trials on a board: as they are, or, fromStart, as they were when they were queued, so that
// their events tell the whole story.
func newBoard(trials []api.Trial, fromStart bool, now time.Time) *board {
	b := &board{byID: map[string]*boardRow{}}
	for _, t := range trials {
		r := &boardRow{id: t.ID, name: t.Name, agent: t.Agent, model: t.Model, since: now}
		if fromStart {
			r.status = api.StatusQueued
		} else {
			r.take(t, now)
		}
		b.rows = append(b.rows, r)
		b.byID[t.ID] = r
	}
	return b
}

// refresh takes over the present state of trials.
func (b *board) refresh(trials []api.Trial, now time.Time) {
	for _, t := range trials {
		if r := b.byID[t.ID]; r != nil {
			r.take(t, now)
		}
	}
}

func (r *boardRow) take(t api.Trial, now time.Time) {
	r.attempt, r.status, r.reward, r.errorType = t.Attempts, t.Status, t.Reward, deref(t.ErrorType)
	r.stage = ""
	if t.HarborStage != nil {
		r.stage = *t.HarborStage
	}
	r.since = now
	if t.StartedAt != nil && t.Status == api.StatusRunning {
		r.since = *t.StartedAt
	}
}

// apply takes an event over and returns its row, or nil if the event says nothing new: the board may be ahead of the
// stream, which is read from its beginning.
func (b *board) apply(e api.Event, now time.Time) *boardRow {
	r := b.byID[e.TrialID]
	if r == nil || !newer(e.Attempt, progressOf(e.Attempt, e.Status, e.Stage), r.attempt, progressOf(r.attempt, r.status, r.stage)) {
		return nil
	}
	r.attempt, r.status, r.stage, r.since = e.Attempt, e.Status, e.Stage, now
	r.reward, r.errorType = e.Reward, e.ErrorType
	return r
}

func newer(attempt, progress, oldAttempt, oldProgress int) bool {
	if attempt != oldAttempt {
		return attempt > oldAttempt
	}
	return progress > oldProgress
}

// progressOf orders the states of one attempt. A trial that waits after an attempt was queued once more, when that had ended.
func progressOf(attempt int, s api.Status, stage api.Stage) int {
	switch s {
	case api.StatusQueued:
		if attempt > 0 {
			return 40
		}
		return 0
	case api.StatusRunning:
		for i, known := range []api.Stage{
			api.StageStarting, api.StageTrialStarted, api.StageEnvironment, api.StageAgentRunning, api.StageVerification,
			api.StageCompleted, api.StageCancelled,
		} {
			if stage == known {
				return 2 + i
			}
		}
		return 1
	case api.StatusRetrying:
		return 20
	}
	return 30
}

func (b *board) done() bool {
	for _, r := range b.rows {
		if !r.status.Terminal() {
			return false
		}
	}
	return true
}

// frame is a picture of the board at one moment, with no ties to it.
type frame struct {
	total, ended                     int
	passed, below, failed, cancelled int
	running, queued, retrying        int
	active                           []boardRow // running ones, at most maxActive
	lost                             bool       // no connection to the server
	used                             string     // of models, in words; empty: nothing is known
}

const maxActive = 50

func (b *board) frame() frame {
	f := frame{total: len(b.rows)}
	for _, r := range b.rows {
		switch r.status {
		case api.StatusSuccess:
			if r.reward != nil && *r.reward >= 1 {
				f.passed++
			} else {
				f.below++
			}
		case api.StatusFailed:
			f.failed++
		case api.StatusCancelled:
			f.cancelled++
		case api.StatusRunning:
			f.running++
			if len(f.active) < maxActive {
				f.active = append(f.active, *r)
			}
		case api.StatusRetrying:
			f.retrying++
		default:
			f.queued++
		}
	}
	f.ended = f.passed + f.below + f.failed + f.cancelled
	return f
}
