package queue

import (
	"context"
	"fmt"
	"slices"

	"oddish/api"
	"oddish/internal/store"
)

// identity is what trials of one task version in one experiment have in common when they are repetitions of one another.
// Values of secrets do not count, their names do.
type identity struct{ agent, model, key, environment, agentConfig, harbor string }

func (p *plan) identity() identity {
	return identity{p.agent, p.model, p.key, p.environment, p.agentConfig, p.harbor}
}

// topUp finds for each planned trial one that the experiment has already: first those that wait, run or ran to the end, then
// failed and cancelled ones to be tried again, each by index. Plans that get none are to be made. The queue keys must be
// locked, so that nobody else tries the same ones again.
func (l *ledger) topUp(ctx context.Context, s *Submission, experimentID string, plans []plan) error {
	var order []identity
	groups := map[identity][]*plan{}
	for i := range plans {
		id := plans[i].identity()
		if groups[id] == nil {
			order = append(order, id)
		}
		groups[id] = append(groups[id], &plans[i])
	}
	for _, id := range order {
		counting, ended, err := l.repetitions(ctx, s, experimentID, id)
		if err != nil {
			return err
		}
		assign(groups[id], counting, ended)
	}
	return l.lockEnded(ctx, plans)
}

// repetitions lists the trials of the identity by index: those that count, and those that may be tried again. One that has
// been told to stop is neither: it will be cancelled, but is not yet.
func (l *ledger) repetitions(ctx context.Context, s *Submission, experimentID string, id identity) (counting, ended []string, err error) {
	const query = `SELECT j.id, j.state, j.cancel_requested FROM trials t JOIN jobs j ON j.id = t.id
		WHERE t.experiment_id = $1 AND t.task_id = $2 AND t.version = $3 AND t.agent = $4 AND t.model = $5
			AND t.imported = 0 AND t.agent_config = $6 AND t.harbor = $7 AND j.environment = $8 AND j.queue_key = $9
		ORDER BY t.idx`
	args := []any{experimentID, s.Task.ID, s.Version.Version, id.agent, id.model, id.agentConfig, id.harbor, id.environment, id.key}
	jobs, err := store.Collect(ctx, l.tx, query, args, func(j *job) []any { return []any{&j.id, &j.state, &j.cancelRequested} })
	if err != nil {
		return nil, nil, fmt.Errorf("look for trials that are there already: %w", err)
	}
	for _, j := range jobs {
		switch {
		case j.unsuccessful():
			ended = append(ended, j.id)
		case j.state != api.StatusRunning || j.cancelRequested == 0:
			counting = append(counting, j.id)
		}
	}
	return counting, ended, nil
}

// unsuccessful reports whether the job has ended without having run to the end.
func (j *job) unsuccessful() bool {
	return j.state == api.StatusFailed || j.state == api.StatusCancelled
}

// assign gives trials to plans as far as they go.
func assign(plans []*plan, counting, ended []string) {
	for i, p := range plans {
		switch again := i - len(counting); {
		case again < 0:
			p.existing = counting[i]
		case again < len(ended):
			p.again = ended[again]
		}
	}
}

// lockChunk is how many jobs one statement locks.
const lockChunk = 500

// lockEnded locks the jobs that are to be tried again, in order of their ids as everybody does.
func (l *ledger) lockEnded(ctx context.Context, plans []plan) error {
	var ids []string
	for i := range plans {
		if plans[i].again != "" {
			ids = append(ids, plans[i].again)
		}
	}
	slices.Sort(ids)
	jobs := make(map[string]*job, len(ids))
	for chunk := range slices.Chunk(ids, lockChunk) {
		var args store.Args
		locked, err := l.lockJobs(ctx, "id IN "+args.List(chunk)+" ORDER BY id"+l.db.ByteOrder(), args.Values...)
		if err != nil {
			return err
		}
		for i := range locked {
			jobs[locked[i].id] = &locked[i]
		}
	}
	for i := range plans {
		p := &plans[i]
		switch p.job = jobs[p.again]; {
		case p.job == nil: // none, or it was deleted in between
			p.again = ""
		case !p.job.unsuccessful(): // somebody was faster
			p.existing, p.again, p.job = p.again, "", nil
		}
	}
	return nil
}

// tryAgain queues the plan's ended trial with a full budget, and with the secrets, priority and attempts of this submission.
func (q *Queue) tryAgain(ctx context.Context, l *ledger, p *plan) error {
	sealed, err := q.seal(p.job.id, p.secrets)
	if err != nil {
		return err
	}
	if _, err := l.tx.ExecContext(ctx, "UPDATE jobs SET priority = $1, max_attempts = $2 WHERE id = $3", p.priority, p.maxAttempts, p.job.id); err != nil {
		return fmt.Errorf("retry trial %s: %w", p.job.id, err)
	}
	if sealed != nil {
		if _, err := l.tx.ExecContext(ctx, "UPDATE trials SET secrets = $1 WHERE id = $2", *sealed, p.job.id); err != nil {
			return fmt.Errorf("seal secrets of trial %s: %w", p.job.id, err)
		}
	}
	return l.requeue(ctx, p.job, p.rank)
}
