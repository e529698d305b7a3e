package cli

import (
	"context"
	"fmt"
	"slices"

	"oddish/api"
	"oddish/client"
	"oddish/internal/task"
)

// submit queues a trial for each of the experiment's whose agent has done its work.
func (r *regrading) submit(ctx context.Context) error {
	trials, err := r.conn.client.ExperimentTrials(ctx, r.from.ID)
	if err != nil {
		return r.conn.explain(err)
	}
	tasks, err := r.conn.client.Tasks(ctx, client.TasksQuery{ExperimentID: r.from.ID})
	if err != nil {
		return r.conn.explain(err)
	}
	given, err := r.upload(ctx)
	if err != nil {
		return err
	}
	r.sub.experimentName = firstNonEmpty(r.experiment, r.from.Name+"-regrade")
	for _, t := range tasks {
		if len(r.include) > 0 && !matchesAny(r.include, []string{t.Name}) {
			continue
		}
		of := slices.DeleteFunc(slices.Clone(trials), func(x api.Trial) bool { return x.TaskID != t.ID })
		if err := r.submitTask(ctx, t, r.usable(of), given); err != nil {
			return err
		}
	}
	if len(r.sub.trialIDs) == 0 {
		r.tellLeftOut()
		return failf("", "no trial of experiment %s can be verified again", r.from.Name)
	}
	return nil
}

// upload brings the given tasks to the server, by name; nil: none are given.
func (r *regrading) upload(ctx context.Context) (map[string]uploaded, error) {
	if r.tasks == "" {
		return nil, nil
	}
	tasks, invalid, err := task.Discover(r.path(r.tasks))
	if err != nil {
		return nil, failf("", "%v", err)
	}
	r.listInvalid(invalid)
	ups, err := uploadAll(ctx, r.conn, tasks)
	if err != nil {
		return nil, err
	}
	given := map[string]uploaded{}
	for i, t := range tasks {
		given[taskName(t)] = ups[i]
	}
	return given, nil
}

// usable leaves out the trials that have nothing to be verified.
func (r *regrading) usable(trials []api.Trial) []api.Trial {
	return slices.DeleteFunc(trials, func(t api.Trial) bool {
		_, worked := t.PhaseTiming["agent_execution"]
		switch {
		case !t.Status.Terminal():
			r.leaveOut(t.ID, "it has not ended")
		case !worked:
			r.leaveOut(t.ID, "its agent did not come to an end")
		default:
			return false
		}
		return true
	})
}

func (r *regrading) leaveOut(id, reason string) {
	r.leftOut = append(r.leftOut, regradeLeftOut{id, reason})
}

// submitTask queues the trials of one task.
func (r *regrading) submitTask(ctx context.Context, t api.Task, trials []api.Trial, given map[string]uploaded) error {
	up, why, err := r.content(ctx, t, given)
	if err != nil {
		return err
	}
	if why != "" {
		for _, x := range trials {
			r.leaveOut(x.ID, why)
		}
		return nil
	}
	if len(trials) == 0 {
		return nil
	}
	sweep := api.Sweep{User: loginName()}
	for _, x := range trials {
		r.sources[x.ID] = x
		c := api.SweepConfig{Agent: x.Agent, NTrials: 1, AgentConfig: &api.AgentConfig{Regrade: x.ID}, Environment: x.Environment}
		if r.env != "" {
			c.Environment = &r.env
		} else if x.Environment != nil && !slices.Contains(sandboxKinds(), *x.Environment) {
			c.Environment = nil // a kind of elsewhere: the server chooses
		}
		sweep.Configs = append(sweep.Configs, c)
	}
	if err := r.sub.queue(ctx, r.conn, sweep, up); err != nil {
		return r.explainSubmit(r.conn, &r.sub, r.from.TaskCount, err)
	}
	return nil
}

// content decides which content of the task the trials are verified with; why says that there is none.
func (r *regrading) content(ctx context.Context, t api.Task, given map[string]uploaded) (up uploaded, why string, err error) {
	switch {
	case given != nil:
		up, ok := given[t.Name]
		if !ok {
			return up, "there is no task " + t.Name + " in " + r.tasks, nil
		}
		return up, "", nil
	case t.CurrentVersion == nil:
		return up, "the content of task " + t.Name + " is not on the server: give it with --path", nil
	case r.version == 0:
		return uploaded{id: t.ID}, "", nil
	}
	v, err := r.conn.client.TaskVersion(ctx, t.ID, r.version)
	if client.StatusOf(err) == 404 {
		return up, fmt.Sprintf("task %s has no version %d", t.Name, r.version), nil
	}
	return uploaded{id: t.ID, hash: v.ContentHash}, "", r.conn.explain(err)
}
