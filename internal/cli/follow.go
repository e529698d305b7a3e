package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"oddish/api"
	"oddish/client"
)

// watchOptions say which trials are watched and how.
type watchOptions struct {
	experiment string // id
	name       string
	ids        []string // empty: every trial of the experiment
	fromStart  bool     // tell what happened before, too
	known      []string // of ids: those of which it is not told
	quiet      bool
	started    time.Time
}

// view shows the progress of trials. Its methods are called from one goroutine.
type view interface {
	// change is called for each event that is news.
	change(r *boardRow, f frame)
	// draw is called now and then with the present picture.
	draw(f frame)
	// stop removes what need not stay on the screen. It may be called twice.
	stop()
	// detached is closed when the user wants to leave by a key.
	detached() <-chan struct{}
}

// How often a silent server is asked whether it is there: seldom, and often while the connection is in doubt.
const (
	pollCalm    = 10 * time.Second
	pollUsage   = 3 * time.Second // where models are used
	pollWorried = 500 * time.Millisecond
	drawEvery   = 100 * time.Millisecond
)

// follow watches trials until they have ended and returns them as they are then. It survives restarts of the server, up to
// ODDISH_RECONNECT_TIMEOUT. When the user interrupts it the trials go on, and it says how to get back to them.
func (a *App) follow(ctx context.Context, c connection, o watchOptions) ([]api.Trial, error) {
	f := &follower{app: a, conn: c, o: o, worry: make(chan struct{}, 1), news: make(chan api.Event, 64)}
	trials, err := f.snapshot(ctx)
	if err == nil {
		f.board = newBoard(trials, o.fromStart, time.Now())
		f.notePause(ctx, trials)
		f.board.refresh(chosen(trials, o.known), time.Now())
		f.view = a.newView(o)
		trials, err = f.untilEnded(ctx)
		f.view.stop()
	}
	switch {
	case err == nil:
		return trials, nil
	case errors.Is(err, errDetached) || errors.Is(err, context.Canceled):
		return nil, a.detach(c, o)
	case errors.Is(err, errGone):
		return nil, f.giveUp()
	}
	return nil, c.explain(err)
}

var (
	errDetached = errors.New("left by the user")
	errGone     = errors.New("the server does not come back")
)

// follower is the state of one follow.
type follower struct {
	app   *App
	conn  connection
	o     watchOptions
	board *board
	view  view

	news  chan api.Event
	worry chan struct{} // the event stream broke

	lostAt time.Time // zero while connected
	used   string    // of models, in words
}

// notePause says so where there is a reason to wait that no trial shows.
func (f *follower) notePause(ctx context.Context, trials []api.Trial) {
	waits := func(t api.Trial) bool { return t.Status == api.StatusQueued || t.Status == api.StatusRetrying }
	if f.o.quiet || !slices.ContainsFunc(trials, waits) {
		return
	}
	if e, err := f.conn.client.Experiment(ctx, f.o.experiment); err == nil && e.Paused {
		f.app.warn("experiment %s is paused: `oddish resume -e %s` ends that", e.Name, e.ID)
	}
}

// snapshot reads the watched trials from the server.
func (f *follower) snapshot(ctx context.Context) ([]api.Trial, error) {
	trials, err := f.conn.client.ExperimentTrials(ctx, f.o.experiment)
	if err != nil || len(f.o.ids) == 0 {
		return trials, err
	}
	return chosen(trials, f.o.ids), nil
}

// chosen are the trials with those ids.
func chosen(trials []api.Trial, ids []string) []api.Trial {
	want := make(map[string]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	var out []api.Trial
	for _, t := range trials {
		if want[t.ID] {
			out = append(out, t)
		}
	}
	return out
}

// untilEnded watches until every trial has ended, and returns them. One that ended and was then queued once more is watched
// to its new end.
func (f *follower) untilEnded(ctx context.Context) ([]api.Trial, error) {
	for {
		if err := f.watch(ctx); err != nil {
			return nil, err
		}
		trials, err := f.snapshot(ctx)
		if err != nil {
			return nil, err
		}
		if f.board.refresh(trials, time.Now()); f.board.done() {
			return trials, nil
		}
	}
}

// watch returns nil once every trial has ended.
func (f *follower) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.stream(ctx) }()

	draw := time.NewTicker(drawEvery)
	defer draw.Stop()
	poll := time.NewTimer(pollCalm)
	defer poll.Stop()
	for !f.board.done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.view.detached():
			return errDetached
		case err := <-ended:
			return err
		case e := <-f.news:
			f.lostAt = time.Time{}
			if r := f.board.apply(e, time.Now()); r != nil {
				f.view.change(r, f.frame())
			}
		case <-draw.C:
			f.view.draw(f.frame())
		case <-f.worry:
			poll.Reset(0)
		case <-poll.C:
			if len(f.news) > 0 { // what they tell comes first
				poll.Reset(time.Millisecond)
				continue
			}
			next, err := f.poll(ctx)
			if err != nil {
				return err
			}
			poll.Reset(next)
		}
	}
	return nil
}

func (f *follower) frame() frame {
	fr := f.board.frame()
	fr.lost, fr.used = !f.lostAt.IsZero(), f.used
	return fr
}

// stream passes the experiment's events on. It reconnects by itself and ends only with ctx or for good.
func (f *follower) stream(ctx context.Context) error {
	o := client.Options{APIKey: f.conn.cfg.APIKey, OnRetry: func(error, time.Duration) {
		select {
		case f.worry <- struct{}{}:
		default:
		}
	}}
	events := client.New(f.conn.endpoint.url, o)
	defer events.Close()
	return events.Events(ctx, f.o.experiment, 0, func(e api.Event) error {
		select {
		case f.news <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// poll asks the server how far the trials are, and says when to ask again. Events may have been missed: what they would
// have said is then read from the server.
func (f *follower) poll(ctx context.Context) (time.Duration, error) {
	once := client.New(f.conn.endpoint.url, client.Options{APIKey: f.conn.cfg.APIKey, RetryFor: -1})
	defer once.Close()
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	e, err := once.Experiment(asking, f.o.experiment)
	switch {
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case err == nil:
		f.lostAt = time.Time{}
		calm := pollCalm
		if f.used = usageWords(e); f.used != "" {
			calm = pollUsage
		}
		if e.Completed < e.Total && len(f.o.ids) == 0 || e.Completed < len(f.o.ids) {
			return calm, nil
		}
		trials, err := f.snapshot(ctx)
		if err != nil {
			return pollWorried, nil // it was there a moment ago: the next poll will tell
		}
		f.board.refresh(trials, time.Now())
		return pollCalm, nil
	case client.StatusOf(err) != 0 && client.StatusOf(err) < 500:
		return 0, err
	}
	if f.lostAt.IsZero() {
		f.lostAt = time.Now()
	}
	if time.Since(f.lostAt) >= f.conn.cfg.ReconnectTimeout {
		return 0, errGone
	}
	return pollWorried, nil
}

// detach says how to go on after the user left.
func (a *App) detach(c connection, o watchOptions) error {
	p := a.errPrinter()
	p.line("")
	p.line("Stopped watching; the trials go on.")
	p.line("  watch again:  oddish status -e " + o.experiment + " --watch")
	p.line("  cancel them:  oddish cancel -e " + o.experiment)
	p.line("  in a browser: " + experimentURL(c, o.experiment))
	return &cliError{code: exitInterrupted, kind: "interrupted"}
}

// giveUp is the error for a server that stayed away.
func (f *follower) giveUp() error {
	hint := fmt.Sprintf("once it is back: oddish status -e %s --watch", f.o.experiment)
	if f.conn.endpoint.local {
		hint = fmt.Sprintf("start it again with `oddish api` (its log: server.log in the data directory); the trials go on, watch them with: oddish status -e %s --watch", f.o.experiment)
	}
	return &cliError{
		code: exitFailure, kind: "unreachable", hint: hint,
		msg: fmt.Sprintf("lost the server at %s for %s", f.conn.endpoint.url, f.conn.cfg.ReconnectTimeout),
	}
}
