package cli

import (
	"oddish/api"
)

// runDocument is the JSON of `oddish run`: what other Oddish clients print, and, when it waited, the trials.
type runDocument struct {
	Experiment          string      `json:"experiment"`
	ExperimentID        string      `json:"experiment_id"`
	ExperimentURL       string      `json:"experiment_url"`
	PublicExperimentURL *string     `json:"public_experiment_url"`
	TotalTrials         int         `json:"total_trials"`
	NewTrials           int         `json:"new_trials"`
	RetriedTrials       int         `json:"retried_trials"`
	ExistingTrials      int         `json:"existing_trials"`
	Tasks               []runTask   `json:"tasks"`
	Trials              *[]runTrial `json:"trials,omitempty"`
}

type runTask struct {
	ID          string  `json:"id"`
	TrialsCount int     `json:"trials_count"`
	URL         string  `json:"url"`
	PublicURL   *string `json:"public_url"`
}

type runTrial struct {
	ID           string             `json:"id"`
	TaskID       string             `json:"task_id"`
	Task         string             `json:"task"`
	Agent        string             `json:"agent"`
	Model        string             `json:"model"`
	Status       api.Status         `json:"status"`
	Reward       *float64           `json:"reward"`
	Rewards      map[string]float64 `json:"rewards"`
	ErrorType    *string            `json:"error_type"`
	ErrorMessage *string            `json:"error_message"`
	Environment  *string            `json:"environment"`
	Seconds      *float64           `json:"seconds"`
	InputTokens  *int64             `json:"input_tokens"`
	CacheTokens  *int64             `json:"cache_tokens"`
	OutputTokens *int64             `json:"output_tokens"`
	CostUSD      *float64           `json:"cost_usd"`
	ModelCalls   *int64             `json:"model_calls"`
}

func newRunDocument(c connection, s *submission) runDocument {
	url := experimentURL(c, s.experimentID)
	d := runDocument{
		Experiment: s.experimentName, ExperimentID: s.experimentID, ExperimentURL: url,
		TotalTrials: len(s.trialIDs), NewTrials: s.made, RetriedTrials: s.retried, ExistingTrials: s.existing(), Tasks: []runTask{},
	}
	for _, t := range s.tasks {
		d.Tasks = append(d.Tasks, runTask{ID: t.ID, TrialsCount: t.TrialsCount + len(t.RetriedTrialIDs) + t.ExistingTrials, URL: url})
	}
	return d
}

func newRunTrial(t api.Trial, taskName string) runTrial {
	return runTrial{
		ID: t.ID, TaskID: t.TaskID, Task: taskName, Agent: t.Agent, Model: t.Model, Status: t.Status, Reward: t.Reward, Rewards: t.Rewards,
		ErrorType: t.ErrorType, ErrorMessage: t.ErrorMessage, Environment: t.Environment, Seconds: seconds(t),
		InputTokens: t.InputTokens, CacheTokens: t.CacheTokens, OutputTokens: t.OutputTokens, CostUSD: t.CostUSD, ModelCalls: t.ModelCalls,
	}
}

// printSubmitted ends a run that does not wait.
func (a *App) printSubmitted(c connection, p *runPlan, s *submission) error {
	if p.json {
		return a.printJSON(newRunDocument(c, s))
	}
	out := a.outPrinter()
	if p.quiet {
		out.line(s.experimentID)
		return nil
	}
	if counts := s.counts(); counts != "" {
		out.line(counts)
	} else {
		out.line(plural(len(s.trialIDs), "trial") + " of " + plural(len(s.tasks), "task") + " queued")
	}
	out.line("experiment  " + s.experimentName)
	out.line("view        " + experimentURL(c, s.experimentID))
	out.line("watch       oddish status -e " + s.experimentID + " --watch")
	out.line("cancel      oddish cancel -e " + s.experimentID)
	return nil
}

// printResults ends a run that waited.
func (a *App) printResults(c connection, p *runPlan, s *submission, trials []api.Trial) error {
	if p.json {
		d := newRunDocument(c, s)
		names := map[string]string{}
		for _, t := range s.tasks {
			names[t.ID] = t.Name
		}
		list := []runTrial{}
		for _, t := range trials {
			list = append(list, newRunTrial(t, names[t.TaskID]))
		}
		d.Trials = &list
		return a.printJSON(d)
	}
	a.showResults(trials)
	a.outPrinter().line(experimentURL(c, s.experimentID))
	a.noteKept(trials)
	return nil
}

// showResults prints the table, what went wrong, and the summary.
func (a *App) showResults(trials []api.Trial) {
	out := a.outPrinter()
	out.line(resultsTable(out.width, trials))
	out.line("")
	errorDetails(out, trials, 5)
	out.line(summarize(trials).line())
}
