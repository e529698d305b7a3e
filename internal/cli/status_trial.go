package cli

import (
	"context"
	"fmt"
	"time"

	"oddish/api"
	"oddish/client"
)

// statusTrial shows one trial, and what came of each of its steps. False: there is no such trial.
func (a *App) statusTrial(ctx context.Context, c connection, f *statusFlags, id string) (bool, error) {
	t, err := c.client.Trial(ctx, id)
	if client.StatusOf(err) == 404 {
		return false, nil
	}
	if err != nil {
		return true, err
	}
	if f.watch {
		if _, err := a.trialsOf(ctx, c, f, api.Experiment{ID: t.ExperimentID, Name: t.ExperimentID}, []string{t.ID}); err != nil {
			return true, err
		}
		if t, err = c.client.Trial(ctx, id); err != nil {
			return true, err
		}
	}
	if f.json {
		return true, a.printJSON(map[string]any{"trial": t})
	}
	p := a.outPrinter()
	p.line(fmt.Sprintf("trial       %s (%s)", t.ID, t.Name))
	p.line("experiment  " + t.ExperimentID)
	p.line("view        " + c.endpoint.url + "/t/" + t.ID)
	p.line("")
	p.line(trialsTable(p.width, []api.Trial{t}, time.Now()))
	p.line("")
	if len(t.Steps) > 0 {
		p.line(stepsTable(p.width, t.Steps))
		p.line("")
	}
	errorDetails(p, []api.Trial{t}, 1)
	a.noteKept([]api.Trial{t})
	return true, nil
}

// stepsTable shows the steps of a trial in their order.
func stepsTable(width int, steps []api.TrialStep) string {
	columns := []column{
		{title: "STEP", least: 8}, {title: "STATUS"}, {title: "REWARD", right: true}, {title: "AGENT", right: true}, {title: "VERIFIER", right: true},
		{title: "ERROR", least: 10, optional: true},
	}
	var rows [][]string
	for _, s := range steps {
		status := api.StatusSuccess
		if s.Rewards == nil && s.ErrorType != nil {
			status = api.StatusFailed
		}
		rows = append(rows, []string{
			s.Name, statusCell(api.Trial{Status: status, Reward: s.Reward}), rewardCell(s.Reward), phaseCell(s.PhaseTiming, "agent_execution"), phaseCell(s.PhaseTiming, "verifier"), deref(s.ErrorType),
		})
	}
	return renderTable(width, columns, rows)
}

func phaseCell(phases map[string]api.Phase, name string) string {
	p, ok := phases[name]
	if !ok {
		return nothing
	}
	return formatSeconds(p.DurationSec)
}
