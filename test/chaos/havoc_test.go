package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"oddish/api"
)

// havoc does something to the installation every second or two.
type havoc struct {
	t       *testing.T
	in      *installation
	load    load
	sampler *sampler
	random  *rand.Rand

	repairs sync.WaitGroup // of what is broken at the moment

	mu        sync.Mutex
	done      map[string]int  // how often what was done
	cancelled map[string]bool // trials for which it was asked, answered or not
	retried   map[string]bool
	accepted  []string // trials of submissions that were answered
}

// deck deals its cards in a random order, all of them before any comes again: so a short run sees everything too.
type deck struct {
	cards []func(context.Context)
	left  []func(context.Context)
}

func (d *deck) draw(random *rand.Rand) func(context.Context) {
	if len(d.left) == 0 {
		d.left = slices.Clone(d.cards)
		random.Shuffle(len(d.left), func(i, j int) { d.left[i], d.left[j] = d.left[j], d.left[i] })
	}
	card := d.left[0]
	d.left = d.left[1:]
	return card
}

func newHavoc(t *testing.T, in *installation, l load, s *sampler) *havoc {
	return &havoc{
		t: t, in: in, load: l, sampler: s, random: rand.New(rand.NewPCG(*chaosSeed, 0)),
		done: map[string]int{}, cancelled: map[string]bool{}, retried: map[string]bool{},
	}
}

// disasters are what happens to processes and connections.
func (h *havoc) disasters() *deck {
	killWorker := func(context.Context) { h.kill("worker killed", h.in.workers) }
	killServer := func(context.Context) { h.kill("server killed", h.in.servers) }
	stopWorker := func(context.Context) { h.stop("worker stopped", h.in.workers) }
	stopServer := func(context.Context) { h.stop("server stopped", h.in.servers) }
	d := &deck{cards: []func(context.Context){killWorker, killWorker, killServer, killServer, stopWorker, stopWorker, stopServer}}
	if h.in.engine.terminate != nil {
		d.cards = append(d.cards, func(ctx context.Context) { h.terminate(ctx, false) }, func(ctx context.Context) { h.terminate(ctx, true) })
	}
	return d
}

// wreak goes on for the time d and returns when what it broke is mended. Every second or two something breaks, and a user does something.
func (h *havoc) wreak(ctx context.Context, d time.Duration) {
	disasters := h.disasters()
	users := &deck{cards: []func(context.Context){h.cancel, h.retry, h.limit, h.limit, h.submit}}
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		time.Sleep(time.Duration(700+h.random.IntN(1300)) * time.Millisecond)
		disasters.draw(h.random)(ctx)
		users.draw(h.random)(ctx)
		h.haunt(ctx)
	}
	h.repairs.Wait()
}

func (h *havoc) count(what string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.done[what] += n
}

// choose takes a member to which nothing is being done; nil: there is none at the moment.
func (h *havoc) choose(members []*member) *member {
	for _, i := range h.random.Perm(len(members)) {
		m := members[i]
		if !m.take() {
			continue
		}
		if m.alive() {
			return m
		}
		h.t.Errorf("%s has ended by itself", m.name)
		m.give()
	}
	return nil
}

// kill ends a process without a warning and starts another in its place soon after.
func (h *havoc) kill(what string, members []*member) {
	pause := time.Duration(h.random.IntN(1500)) * time.Millisecond
	m := h.choose(members)
	if m == nil {
		return
	}
	m.kill()
	h.count(what, 1)
	h.repairs.Go(func() {
		defer m.give()
		time.Sleep(pause)
		if err := m.start(); err != nil {
			h.t.Error(err)
		}
	})
}

// stop halts a process for longer than a lease: for the others it is dead, and then it goes on as if nothing had been.
func (h *havoc) stop(what string, members []*member) {
	pause := lease + time.Duration(500+h.random.IntN(2000))*time.Millisecond
	m := h.choose(members)
	if m == nil {
		return
	}
	if err := m.signal(syscall.SIGSTOP); err != nil {
		h.t.Errorf("stop %s: %v", m.name, err)
	}
	m.mark(func(l *life) { l.resumed = time.Now().Add(pause) })
	h.count(what, 1)
	h.repairs.Go(func() {
		defer m.give()
		time.Sleep(pause)
		if err := m.signal(syscall.SIGCONT); err != nil {
			h.t.Errorf("continue %s: %v", m.name, err)
		}
		m.mark(func(l *life) { l.resumed = time.Now() })
	})
}

func (h *havoc) terminate(ctx context.Context, all bool) {
	n, err := h.in.engine.terminate(ctx, all)
	if err != nil {
		h.t.Errorf("terminate backends: %v", err)
	}
	h.count("connection ended", n)
}

// server is the address of a random one, which may be down.
func (h *havoc) server() string { return h.in.urls[h.random.IntN(len(h.in.urls))] }

// answered notes what came of a request: an answer that blames it is a failure unless its status is expected.
func (h *havoc) answered(what string, err error, expected ...int) bool {
	var refused *statusError
	switch {
	case err == nil:
		h.count(what, 1)
		return true
	case errors.Is(err, errAway):
		h.count("request without an answer", 1)
	case errors.As(err, &refused) && slices.Contains(expected, refused.status):
	default:
		h.t.Errorf("%s: %v", what, err)
	}
	return false
}

// trials draws up to n trials in one of the states.
func (h *havoc) trials(ctx context.Context, n int, where string) []string {
	rows, err := h.in.engine.db.QueryContext(ctx, "SELECT id FROM jobs WHERE "+where+" ORDER BY id")
	if err != nil {
		h.t.Errorf("choose trials: %v", err)
		return nil
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			h.t.Errorf("choose trials: %v", err)
			return nil
		}
		ids = append(ids, id)
	}
	h.random.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	return ids[:min(n, len(ids))]
}

func (h *havoc) mark(set map[string]bool, id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	set[id] = true
}

func (h *havoc) cancel(ctx context.Context) {
	server := h.server()
	ids := append(h.trials(ctx, 2, "state = 'running'"), h.trials(ctx, 1, "state IN ('queued', 'retrying')")...)
	for _, id := range ids {
		h.mark(h.cancelled, id)
		h.answered("trial cancelled", call(ctx, http.MethodPost, server+"/trials/"+id+"/cancel", struct{}{}, nil))
	}
}

// retry tries trials again that have ended: failed and cancelled ones, and one with a result.
func (h *havoc) retry(ctx context.Context) {
	server := h.server()
	where := "experiment_id = '" + h.load.experiments["open"] + "' AND state "
	ids := append(h.trials(ctx, 3, where+"IN ('failed', 'cancelled')"), h.trials(ctx, 1, where+"= 'success'")...)
	for _, id := range ids {
		h.mark(h.retried, id)
		h.answered("trial retried", call(ctx, http.MethodPost, server+"/trials/"+id+"/retry", struct{}{}, nil), http.StatusConflict)
	}
}

// limit changes the limit of a key or pattern to something between 1 and half as much again as at first.
func (h *havoc) limit(ctx context.Context) {
	server := h.server()
	names := append(queueKeys(), "openai/*")
	name := names[h.random.IntN(len(names))]
	n := 1 + h.random.IntN(limits()[name]*3/2)
	err := call(ctx, http.MethodPut, server+"/queue/limit?key="+url.QueryEscape(name), api.QueueLimit{Limit: &n}, nil)
	h.answered("limit changed", err)
	h.sampler.waitSamples(ctx, 2)
}

// submit adds trials: those of an answered submission have to be there at the end.
func (h *havoc) submit(ctx context.Context) {
	experiment, environment := h.load.experiments["open"], "fake"
	sweep := api.Sweep{
		TaskID: h.load.tasks[0], AppendToTask: true, ExperimentID: &experiment, User: "chaos", Environment: &environment,
		Configs: []api.SweepConfig{{Agent: "oracle", NTrials: 2}},
	}
	var made api.Submitted
	if h.answered("submission", call(ctx, http.MethodPost, h.server()+"/tasks/sweep", sweep, &made)) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.accepted = append(h.accepted, made.NewTrialIDs...)
	}
}

// restore sets the limits of the beginning, so that what is left ends in a time that can be told.
func (h *havoc) restore() {
	for name, n := range limits() {
		h.in.must(http.MethodPut, "/queue/limit?key="+url.QueryEscape(name), api.QueueLimit{Limit: &n}, nil)
		h.sampler.waitSamples(h.t.Context(), 2)
	}
}

func (h *havoc) summary() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return fmt.Sprint(h.done)
}
