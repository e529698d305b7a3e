package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"time"

	"oddish/api"
	"oddish/internal/blob"
	"oddish/internal/model"
	"oddish/internal/result"
	"oddish/internal/store"
)

const (
	// folderDelay is how long changes of an experiment are gathered before its folder is written.
	folderDelay = time.Second
	// folderShare: writing folders takes about one part in so many of the time, however many experiments go on and
	// however many trials they have.
	folderShare = 20
	// folderTimeout limits one write.
	folderTimeout = time.Minute
)

// jobFolders keeps the job files (config.json, lock.json, result.json) of experiments up to date, so that an experiment's
// folder opens as a job directory of the Harbor format. A change makes a write due; those that come until
// then are covered by it, so that the last change is always written, and a thousand of them cost few writes.
type jobFolders struct {
	db    *store.DB
	blobs blob.Store
	log   *slog.Logger
	delay time.Duration
	write func(experimentID string) error

	mu      sync.Mutex
	due     map[string]*time.Timer // by experiment
	rest    time.Time              // until when nothing new becomes due, because of the time that writes took
	closed  bool
	running sync.WaitGroup // runs; added to with mu held and not closed

	writing chan struct{} // full while a folder is written; filled without mu held
}

func newJobFolders(db *store.DB, blobs blob.Store, log *slog.Logger) *jobFolders {
	f := &jobFolders{
		db: db, blobs: blobs, log: log, delay: folderDelay,
		due: map[string]*time.Timer{}, writing: make(chan struct{}, 1),
	}
	f.write = f.writeFiles
	return f
}

// touch says that something of the experiment changed.
func (f *jobFolders) touch(experimentID string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if experimentID == "" || f.closed || f.due[experimentID] != nil {
		return
	}
	wait := max(f.delay, time.Until(f.rest))
	f.due[experimentID] = time.AfterFunc(wait, func() { f.run(experimentID) })
}

// forget drops what is due for an experiment that was deleted, and waits for a write under way.
func (f *jobFolders) forget(experimentID string) {
	f.mu.Lock()
	if t := f.due[experimentID]; t != nil {
		t.Stop()
		delete(f.due, experimentID)
	}
	f.mu.Unlock()
	f.writing <- struct{}{} // a write that began before has ended; the next one finds the experiment gone
	<-f.writing
}

// run writes the folder if that is still due.
func (f *jobFolders) run(experimentID string) {
	f.mu.Lock()
	if f.due[experimentID] == nil {
		f.mu.Unlock()
		return
	}
	delete(f.due, experimentID)
	f.running.Add(1)
	f.mu.Unlock()
	defer f.running.Done()
	took, err := f.writeAlone(experimentID)
	if err != nil {
		f.log.Warn("job folder not written", "experiment", experimentID, "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); f.rest.Before(now) {
		f.rest = now
	}
	f.rest = f.rest.Add(folderShare * took)
}

// close writes what is due, refuses what comes later, and returns when no write is under way.
func (f *jobFolders) close() error {
	f.mu.Lock()
	f.closed = true
	var ids []string
	for id, timer := range f.due {
		timer.Stop()
		ids = append(ids, id)
	}
	clear(f.due)
	f.mu.Unlock()
	f.running.Wait()
	var errs []error
	for _, id := range ids {
		_, err := f.writeAlone(id)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeAlone writes a folder while no other one is written, and tells how long that took.
func (f *jobFolders) writeAlone(experimentID string) (time.Duration, error) {
	f.writing <- struct{}{}
	defer func() { <-f.writing }()
	start := time.Now()
	err := f.write(experimentID)
	return time.Since(start), err
}

// folderTries is how often an experiment's files are written at once because it changed meanwhile.
const folderTries = 3

// writeFiles writes an experiment's three files, unless the experiment is gone. Another server may write them at the same time, and what
// it saw may be newer: so they are written again when the experiment has changed meanwhile, and whoever writes last has seen
// the last change.
func (f *jobFolders) writeFiles(experimentID string) error {
	ctx, cancel := context.WithTimeout(context.Background(), folderTimeout)
	defer cancel()
	for range folderTries {
		before, err := f.db.LastEvent(ctx, experimentID)
		if err != nil {
			return err
		}
		if err := f.writeOnce(ctx, experimentID); err != nil {
			return err
		}
		if !f.db.Shared() {
			return nil
		}
		after, err := f.db.LastEvent(ctx, experimentID)
		if err != nil || after == before {
			return err
		}
	}
	f.touch(experimentID)
	return nil
}

func (f *jobFolders) writeOnce(ctx context.Context, experimentID string) error {
	e, err := f.db.ExperimentSummary(ctx, experimentID)
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted meanwhile
	}
	if err != nil {
		return err
	}
	trials, err := f.db.Trials(ctx, store.TrialFilter{ExperimentID: experimentID})
	if err != nil {
		return err
	}
	configs := trialConfigs(e, trials)
	config, err := jobConfig(e, configs).Compact()
	if err != nil {
		return err
	}
	if err := f.put(ctx, experimentID, result.ConfigFile, config); err != nil {
		return err
	}
	if err := f.put(ctx, experimentID, result.LockFile, jobLock(e, trials, configs)); err != nil {
		return err
	}
	return f.put(ctx, experimentID, result.ResultFile, jobResult(e, trials))
}

func (f *jobFolders) put(ctx context.Context, experimentID, name string, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "    ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write %s of experiment %s: %w", name, experimentID, err)
	}
	_, err := f.blobs.Put(ctx, store.ExperimentDir(experimentID)+"/"+name, &b)
	return err
}

// trialConfigs gives the configuration of each trial.
func trialConfigs(e store.ExperimentSummary, trials []store.Trial) []result.TrialConfig {
	configs := make([]result.TrialConfig, len(trials))
	for i, t := range trials {
		configs[i] = result.NewTrialConfig(trialSpec(t, path.Base(t.TrialDir), e.Name), t.TaskName, store.ExperimentDir(e.ID), nil)
	}
	return configs
}

func jobConfig(e store.ExperimentSummary, configs []result.TrialConfig) result.JobConfig {
	return result.NewJobConfig(e.ID, path.Dir(store.ExperimentDir(e.ID)), configs)
}

// jobLock names the inputs of trials whose configurations are configs. What only the tasks tell, the trials' own lock.json files have: a pull puts it in.
func jobLock(e store.ExperimentSummary, trials []store.Trial, configs []result.TrialConfig) result.JobLock {
	locks := make([]result.TrialLock, len(trials))
	for i, t := range trials {
		shared := "shared"
		locks[i] = result.NewTrialLock(configs[i], t.TaskName, "", t.ContentHash)
		locks[i].Verifier.EnvironmentMode = &shared
		if e := t.Harbor.Environment; e != nil {
			locks[i].ExtraDockerCompose = result.NewComposeLocks(e.ExtraCompose)
		}
	}
	return result.NewJobLock(e.CreatedAt, locks)
}

// jobResult sums up from the rows what the trials' own result.json files say.
func jobResult(e store.ExperimentSummary, trials []store.Trial) result.Job {
	in := result.JobInput{
		ID: e.ImportedJob, ExperimentID: e.ID, StartedAt: e.CreatedAt, UpdatedAt: e.LastActivity, Total: e.Counts.Total, Running: e.Counts.Running,
	}
	in.Metrics = map[string][]string{}
	var ended []result.Trial
	for _, t := range trials {
		if len(t.Harbor.Metrics) > 0 {
			in.Metrics[t.Source] = t.Harbor.Metrics
		}
		in.Retries += max(t.Attempt-1, 0)
		if t.Status.Terminal() {
			ended = append(ended, trialResult(t))
		}
	}
	return result.NewJob(in, ended)
}

// trialResult gives of a trial what a job's result counts.
func trialResult(t store.Trial) result.Trial {
	out := result.Trial{
		TrialName: path.Base(t.TrialDir), TaskName: t.TaskName, Source: present(t.Source),
		AgentInfo: result.AgentInfo{Name: t.Agent},
		AgentResult: &result.AgentResult{
			InputTokens: t.InputTokens, CacheTokens: t.CacheTokens, OutputTokens: t.OutputTokens, CostUSD: t.CostUSD,
		},
	}
	if t.TrialDir == "" { // cancelled before it began
		out.TrialName = t.Name
	}
	if t.Model != "" && t.Model != model.Default {
		name := t.Model
		if _, bare, qualified := strings.Cut(name, "/"); qualified {
			name = bare
		}
		out.AgentInfo.ModelInfo = &result.ModelInfo{Name: name}
	}
	if t.Rewards != nil {
		out.VerifierResult = &result.VerifierResult{Rewards: t.Rewards}
	}
	switch {
	case t.ErrorType != "":
		out.ExceptionInfo = &result.ExceptionInfo{Type: t.ErrorType, Message: t.ErrorMessage}
	case t.Status == api.StatusCancelled:
		out.ExceptionInfo = &result.ExceptionInfo{Type: result.CancelledError}
	}
	return out
}
