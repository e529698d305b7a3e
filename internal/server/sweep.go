package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/model"
	"oddish/internal/queue"
	"oddish/internal/store"
)

// maxSweepTrials limits the trials of one submission: it is one transaction.
const maxSweepTrials = 100_000

// maxExperimentName is the length of an experiment's name in characters.
const maxExperimentName = 255

// sandboxKinds are the kinds that workers of this program can offer.
func sandboxKinds() []string { return []string{"builtin", "docker", "fake"} }

type sweepInput struct{ Body api.Sweep }

type submittedOutput struct{ Body api.Submitted }

func (s *Server) registerSweep(a huma.API) {
	sweep := op(http.MethodPost, "/tasks/sweep", "tasks", "Submit trials of one task: agents × attempts")
	sweep.MaxBodyBytes = 8 << 20 // kwargs may be long
	huma.Register(a, sweep, s.sweep)
}

func (s *Server) sweep(ctx context.Context, in *sweepInput) (*submittedOutput, error) {
	sw := in.Body
	if err := s.checkSweep(&sw); err != nil {
		return nil, err
	}
	task, err := s.db.Task(ctx, sw.TaskID)
	if err != nil {
		return nil, s.fail(ctx, "task "+sw.TaskID, err)
	}
	if sw.AppendToTask && sw.ExperimentID == nil && task.ExperimentID != "" {
		sw.ExperimentID = &task.ExperimentID // trials added without a word join the newest ones
	}
	version, err := s.sweepVersion(ctx, task, sw.ContentHash)
	if err != nil {
		return nil, err
	}
	environment, err := s.sweepEnvironment(ctx, task, sw)
	if err != nil {
		return nil, err
	}
	res, err := s.queue.Submit(ctx, queue.Submission{Sweep: sw, Task: task, Version: version, Environment: environment})
	if err != nil {
		return nil, s.fail(ctx, "submission to task "+task.ID, err)
	}
	s.folders.touch(res.Experiment.ID)
	return s.submitted(ctx, sw, task.ID, res)
}

func (s *Server) submitted(ctx context.Context, sw api.Sweep, taskID string, res queue.SubmitResult) (*submittedOutput, error) {
	task, err := s.db.TaskSummary(ctx, taskID)
	if err != nil {
		return nil, s.fail(ctx, "task "+taskID, err)
	}
	return &submittedOutput{Body: api.Submitted{
		ID: task.ID, Name: task.Name, Status: taskStatus(task.Counts), Priority: task.Priority,
		TrialsCount: len(res.TrialIDs), Providers: providers(sw.Configs),
		ExperimentID: res.Experiment.ID, ExperimentName: res.Experiment.Name,
		CreatedAt: task.CreatedAt.UTC(), NewTrialIDs: res.TrialIDs,
	}}, nil
}

// sweepVersion is the version that the trials are pinned to: the one with the content that the client names, else the newest.
func (s *Server) sweepVersion(ctx context.Context, task store.Task, hash *string) (store.Version, error) {
	if task.Version == 0 {
		return store.Version{}, huma.Error404NotFound("task " + task.ID + " has no content yet: complete its upload first")
	}
	if hash == nil || *hash == "" {
		v, err := s.db.Version(ctx, task.ID, task.Version)
		return v, s.failOrNil(ctx, "newest version of task "+task.ID, err)
	}
	versions, err := s.db.Versions(ctx, task.ID)
	if err != nil {
		return store.Version{}, s.fail(ctx, "versions of task "+task.ID, err)
	}
	var found store.Version
	for _, v := range versions {
		if v.ContentHash == *hash && v.Version > found.Version {
			found = v
		}
	}
	if found.Version == 0 {
		return found, huma.Error409Conflict("task " + task.ID + " has no version with content " + *hash + ": upload it first")
	}
	return found, nil
}

// sweepEnvironment is the sandbox kind of configs that name none, when the submission names none either: that of the
// task's first trial when trials are added to a task, else the server's own.
func (s *Server) sweepEnvironment(ctx context.Context, task store.Task, sw api.Sweep) (string, error) {
	if sw.Environment != nil && *sw.Environment != "" {
		return *sw.Environment, nil
	}
	if !sw.AppendToTask {
		return s.cfg.Environment, nil
	}
	first, err := s.db.Trials(ctx, store.TrialFilter{TaskIDs: []string{task.ID}, Limit: 1})
	if err != nil {
		return "", s.fail(ctx, "first trial of task "+task.ID, err)
	}
	if len(first) == 0 || first[0].Environment == "" {
		return s.cfg.Environment, nil
	}
	return first[0].Environment, nil
}

// checkSweep refuses what cannot run and fills in what was left out.
func (s *Server) checkSweep(sw *api.Sweep) error {
	if len(sw.Configs) == 0 {
		return huma.Error400BadRequest("configs is empty: name at least one agent")
	}
	if err := checkEnvironment(sw.Environment); err != nil {
		return err
	}
	if sw.ExperimentID != nil && len([]rune(*sw.ExperimentID)) > maxExperimentName {
		return refused("body.experiment_id", "longer than %d characters", maxExperimentName)
	}
	if sw.Priority == "" {
		sw.Priority = api.PriorityLow
	}
	total := 0
	for i := range sw.Configs {
		if err := checkConfig(fmt.Sprintf("body.configs[%d]", i), &sw.Configs[i]); err != nil {
			return err
		}
		if total += sw.Configs[i].NTrials; total > maxSweepTrials {
			return refused("body.configs", "more than %d trials in one submission: split it", maxSweepTrials)
		}
	}
	return checkTimes("body.harbor", sw.Harbor)
}

func checkConfig(at string, c *api.SweepConfig) error {
	if c.NTrials == 0 {
		c.NTrials = 1
	}
	if c.TimeoutMinutes != nil {
		return refused(at+".timeout_minutes", "not supported: set [agent] timeout_sec and [verifier] timeout_sec in the task's task.toml")
	}
	if err := checkEnvironment(c.Environment); err != nil {
		return err
	}
	if !knownAgent(c.Agent) {
		return refused(at+".agent", "unknown agent %q: known are %s", c.Agent, strings.Join(agentNames(), ", "))
	}
	if needsModel(c.Agent) && (c.Model == nil || model.Normalize(c.Agent, *c.Model) == model.Default) {
		return refused(at+".model", "agent %s needs a model", c.Agent)
	}
	return checkTimes(at+".agent_config", c.AgentConfig)
}

// checkTimes refuses times and factors that are not above 0, anywhere in v. They are found by
// their names on the wire, so that one added to the API is not forgotten here.
func checkTimes(at string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return refused(at, "cannot be read: %v", err)
	}
	var fields any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return refused(at, "cannot be read: %v", err)
	}
	table, _ := fields.(map[string]any) // null: nothing to check
	return checkPositive(at, table)
}

func checkPositive(at string, fields map[string]any) error {
	for name, v := range fields {
		switch v := v.(type) {
		case map[string]any:
			if name == "env" || name == "kwargs" {
				continue // the agent's and the sandbox's own words
			}
			if err := checkPositive(at+"."+name, v); err != nil {
				return err
			}
		case float64:
			if (strings.HasSuffix(name, "_sec") || strings.HasSuffix(name, "_multiplier")) && v <= 0 {
				return refused(at+"."+name, "must be above 0")
			}
		}
	}
	return nil
}

func checkEnvironment(kind *string) error {
	if kind == nil || *kind == "" {
		return nil
	}
	for _, known := range sandboxKinds() {
		if *kind == known {
			return nil
		}
	}
	return huma.Error400BadRequest(fmt.Sprintf("unknown environment %q: known are %s", *kind, strings.Join(sandboxKinds(), ", ")))
}

func knownAgent(name string) bool {
	for _, a := range agent.Known() {
		if a.Name == name {
			return true
		}
	}
	return false
}

func needsModel(name string) bool {
	for _, a := range agent.Known() {
		if a.Name == name {
			return a.NeedsModel
		}
	}
	return false
}

func agentNames() []string {
	var names []string
	for _, a := range agent.Known() {
		names = append(names, a.Name)
	}
	return names
}

// providers counts the trials of each provider.
func providers(configs []api.SweepConfig) map[string]int {
	count := map[string]int{}
	for _, c := range configs {
		id := ""
		if c.Model != nil {
			id = *c.Model
		}
		count[model.Provider(c.Agent, id)] += c.NTrials
	}
	return count
}
