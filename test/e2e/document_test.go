package e2e

import (
	"path/filepath"
	"strings"

	"oddish/api"
)

// document is what `oddish run --json` prints; its field names are a promise to scripts.
type document struct {
	Experiment          string       `json:"experiment"`
	ExperimentID        string       `json:"experiment_id"`
	ExperimentURL       string       `json:"experiment_url"`
	PublicExperimentURL *string      `json:"public_experiment_url"`
	TotalTrials         int          `json:"total_trials"`
	NewTrials           int          `json:"new_trials"`
	RetriedTrials       int          `json:"retried_trials"`
	ExistingTrials      int          `json:"existing_trials"`
	Tasks               []taskOfRun  `json:"tasks"`
	Trials              []trialOfRun `json:"trials"`
}

type taskOfRun struct {
	ID          string  `json:"id"`
	TrialsCount int     `json:"trials_count"`
	URL         string  `json:"url"`
	PublicURL   *string `json:"public_url"`
}

type trialOfRun struct {
	ID           string             `json:"id"`
	TaskID       string             `json:"task_id"`
	Task         string             `json:"task"`
	Agent        string             `json:"agent"`
	Model        string             `json:"model"`
	Status       string             `json:"status"`
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

// errorType is "" for a trial without an error.
func (t trialOfRun) errorType() string {
	if t.ErrorType == nil {
		return ""
	}
	return *t.ErrorType
}

// runTasks runs tasks to their end and returns the document.
func (h *home) runTasks(path, agent string, more ...string) document {
	h.t.Helper()
	args := append([]string{"run", "-p", path, "-a", agent, "--json", "--watch"}, more...)
	var d document
	h.ok(args...).decode(h.t, &d)
	return d
}

// runOne runs a folder with one task.
func (h *home) runOne(path, agent string, more ...string) (document, trialOfRun) {
	h.t.Helper()
	d := h.runTasks(path, agent, more...)
	if len(d.Trials) != 1 {
		h.t.Fatalf("%d trials, want 1", len(d.Trials))
	}
	return d, d.Trials[0]
}

// trialDir is where the data directory keeps the attempt of a task in an experiment.
func (h *home) trialDir(experimentID, task string) string {
	h.t.Helper()
	short := strings.TrimRight(task[:min(len(task), 32)], "_-")
	dirs, err := filepath.Glob(filepath.Join(h.dir, "blobs", "jobs", experimentID, short+"__*"))
	if err != nil || len(dirs) != 1 {
		h.t.Fatalf("task %s of experiment %s has the trial directories %v, want one (%v)", task, experimentID, dirs, err)
	}
	return dirs[0]
}

// overview is what `oddish status --json` prints.
type overview struct {
	Server struct {
		URL      string `json:"url"`
		Status   string `json:"status"`
		Database string `json:"database"`
		Version  string `json:"version"`
		PID      int    `json:"pid"`
	} `json:"server"`
	DailyBudget *api.DailyBudget `json:"daily_budget"`
	Experiments []api.Experiment `json:"experiments"`
}

// healthy wants a server that answers and says that it is well, and returns what it says.
func (h *home) healthy() overview {
	h.t.Helper()
	var o overview
	h.ok("status", "--json").decode(h.t, &o)
	if o.Server.Status != "healthy" || o.Server.URL != h.url || o.Server.PID <= 0 {
		h.t.Errorf("server: %+v", o.Server)
	}
	return o
}

// experiment is what `oddish status --json -e` prints.
type experiment struct {
	Experiment api.Experiment `json:"experiment"`
	Trials     []api.Trial    `json:"trials"`
}

func (h *home) experiment(id string) experiment {
	h.t.Helper()
	var e experiment
	h.ok("status", "--json", "-e", id).decode(h.t, &e)
	return e
}

// waitStage waits until a trial of the experiment, which need not exist yet, has come to a stage.
func (h *home) waitStage(id string, stage api.Stage) api.Trial {
	h.t.Helper()
	var found api.Trial
	eventually(h.t, "a trial of "+id+" in stage "+string(stage), func() bool {
		o := h.run("status", "--json", "-e", id)
		if o.code != 0 {
			return false
		}
		var e experiment
		o.decode(h.t, &e)
		for _, t := range e.Trials {
			if t.HarborStage != nil && *t.HarborStage == stage {
				found = t
				return true
			}
		}
		return false
	})
	return found
}
