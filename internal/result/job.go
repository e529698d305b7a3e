package result

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"time"
)

// defaultConcurrency is how many trials of a job Harbor runs at once if nobody says; here that is a matter of the server.
const defaultConcurrency = 4

// JobConfig is config.json of a job directory: what an experiment was asked to do.
type JobConfig struct {
	JobName           string            `json:"job_name"`
	JobsDir           string            `json:"jobs_dir"`
	Attempts          int               `json:"n_attempts"`
	TimeoutMultiplier float64           `json:"timeout_multiplier"`
	ConcurrentTrials  int               `json:"n_concurrent_trials"`
	Environment       EnvironmentConfig `json:"environment"`
	Verifier          VerifierConfig    `json:"verifier"`
	Agents            []AgentConfig     `json:"agents,omitempty"`
	Tasks             []TaskConfig      `json:"tasks,omitempty"`
	Artifacts         []Artifact        `json:"artifacts,omitempty"`
}

// NewJobConfig gives the configuration of a job from those of its trials: the agents and
// tasks that occur, in order, and the settings of the first trial.
func NewJobConfig(name, jobsDir string, trials []TrialConfig) JobConfig {
	c := JobConfig{
		JobName: name, JobsDir: jobsDir, Attempts: 1, TimeoutMultiplier: 1, ConcurrentTrials: defaultConcurrency,
		Environment: newEnvironmentConfig("docker", nil, nil),
	}
	if len(trials) > 0 {
		first := trials[0]
		c.TimeoutMultiplier, c.Environment = first.TimeoutMultiplier, first.Environment
		c.Verifier, c.Artifacts = first.Verifier, first.Artifacts
	}
	agents, tasks, runs := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, t := range trials {
		agent := t.Agent.Name + "\x00" + orElse(t.Agent.ModelName, "")
		if !agents[agent] {
			agents[agent] = true
			c.Agents = append(c.Agents, t.Agent)
		}
		if !tasks[t.Task.Path] {
			tasks[t.Task.Path] = true
			c.Tasks = append(c.Tasks, t.Task)
		}
		pair := agent + "\x00" + t.Task.Path
		runs[pair]++
		c.Attempts = max(c.Attempts, runs[pair])
	}
	return c
}

// Compact gives the configuration as config.json has it: without what is at its default.
func (c JobConfig) Compact() (map[string]any, error) {
	return compact(c, JobConfig{
		JobsDir: "jobs", Attempts: 1, TimeoutMultiplier: 1, ConcurrentTrials: defaultConcurrency,
		Environment: newEnvironmentConfig("docker", nil, nil),
	})
}

// Job is result.json of a job directory.
type Job struct {
	ID         string     `json:"id"` // UUID
	StartedAt  time.Time  `json:"started_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	FinishedAt *time.Time `json:"finished_at"` // null while trials remain
	Total      int        `json:"n_total_trials"`
	Stats      JobStats   `json:"stats"`
}

// JobStats counts the trials of a job. An errored trial is a completed one as well.
type JobStats struct {
	Completed    int                  `json:"n_completed_trials"`
	Errored      int                  `json:"n_errored_trials"`
	Running      int                  `json:"n_running_trials"`
	Pending      int                  `json:"n_pending_trials"`
	Cancelled    int                  `json:"n_cancelled_trials"`
	Retries      int                  `json:"n_retries"`
	InputTokens  *int64               `json:"n_input_tokens"`
	CacheTokens  *int64               `json:"n_cache_tokens"`
	OutputTokens *int64               `json:"n_output_tokens"`
	CostUSD      *float64             `json:"cost_usd"`
	Evals        map[string]EvalStats `json:"evals"` // by EvalKey
}

// EvalStats sums up the trials of one agent and model on one data set.
type EvalStats struct {
	Trials         int                            `json:"n_trials"` // those with rewards
	Errors         int                            `json:"n_errors"`
	Metrics        []map[string]float64           `json:"metrics"`
	PassAtK        map[string]float64             `json:"pass_at_k"`       // by k
	RewardStats    map[string]map[string][]string `json:"reward_stats"`    // reward, value ("1.0"), trial names
	ExceptionStats map[string][]string            `json:"exception_stats"` // error type, trial names
}

// JobInput is what a job's result is made from besides its finished trials.
type JobInput struct {
	ID           string // UUID; empty: that of ExperimentID
	ExperimentID string
	StartedAt    time.Time
	UpdatedAt    time.Time
	Total        int
	Running      int
	Retries      int
	Metrics      map[string][]string // names of metrics by data set; of others it is the mean
}

// NewJob sums up the finished trials of an experiment, one result for each trial. The job is finished when none remain.
func NewJob(in JobInput, trials []Trial) Job {
	j := Job{
		ID:        cmp.Or(in.ID, UUIDFor("experiment", in.ExperimentID)),
		StartedAt: Time(in.StartedAt),
		UpdatedAt: Time(in.UpdatedAt),
		Total:     in.Total,
		Stats: JobStats{
			Completed: len(trials),
			Running:   in.Running,
			Pending:   max(in.Total-len(trials)-in.Running, 0),
			Retries:   in.Retries,
			Evals:     map[string]EvalStats{},
		},
	}
	if len(trials) >= in.Total {
		j.FinishedAt = &j.UpdatedAt
	}
	groups := map[string][]Trial{}
	for _, t := range trials {
		j.Stats.count(t)
		groups[EvalKey(t)] = append(groups[EvalKey(t)], t)
	}
	for key, group := range groups {
		j.Stats.Evals[key] = newEvalStats(group, in.Metrics[orElse(group[0].Source, "")])
	}
	return j
}

// EvalKey is the name of a trial's group in JobStats: agent__model__dataset, without the model if there is none.
func EvalKey(t Trial) string {
	key := t.AgentInfo.Name + "__"
	if m := t.AgentInfo.ModelInfo; m != nil {
		key += m.Name + "__"
	}
	if t.Source == nil {
		return key + "adhoc"
	}
	return key + *t.Source
}

func (s *JobStats) count(t Trial) {
	if e := t.ExceptionInfo; e != nil {
		s.Errored++
		if e.Type == CancelledError {
			s.Cancelled++
		}
	}
	if a := t.AgentResult; a != nil {
		addTo(&s.InputTokens, a.InputTokens)
		addTo(&s.CacheTokens, a.CacheTokens)
		addTo(&s.OutputTokens, a.OutputTokens)
		addTo(&s.CostUSD, a.CostUSD)
	}
}

// addTo adds a known number to a sum that stays unknown until there is one.
func addTo[T int64 | float64](sum **T, v *T) {
	if v == nil {
		return
	}
	total := *v
	if *sum != nil {
		total += **sum
	}
	*sum = &total
}

func newEvalStats(trials []Trial, metrics []string) EvalStats {
	e := EvalStats{
		PassAtK:        passAtK(trials),
		RewardStats:    map[string]map[string][]string{},
		ExceptionStats: map[string][]string{},
	}
	for _, t := range trials {
		if x := t.ExceptionInfo; x != nil {
			e.Errors++
			e.ExceptionStats[x.Type] = append(e.ExceptionStats[x.Type], t.TrialName)
		}
		if t.VerifierResult == nil || t.VerifierResult.Rewards == nil {
			continue
		}
		e.Trials++
		for name, v := range t.VerifierResult.Rewards {
			if e.RewardStats[name] == nil {
				e.RewardStats[name] = map[string][]string{}
			}
			value := FormatReward(v)
			e.RewardStats[name][value] = append(e.RewardStats[name][value], t.TrialName)
		}
	}
	e.Metrics = sumUp(trials, metrics)
	sortNames(e)
	return e
}

func sortNames(e EvalStats) {
	for _, names := range e.ExceptionStats {
		slices.Sort(names)
	}
	for _, values := range e.RewardStats {
		for _, names := range values {
			slices.Sort(names)
		}
	}
}

// FormatReward gives a reward as Python prints a float, which is how Harbor's files use it as a key: 1.0, 0.25, 1e-05.
func FormatReward(v float64) string {
	if size := math.Abs(v); size != 0 && (size < 1e-4 || size >= 1e16) {
		return strconv.FormatFloat(v, 'e', -1, 64)
	}
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if v == math.Trunc(v) {
		text += ".0"
	}
	return text
}
