package jobdir

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"oddish/api"
	"oddish/internal/result"
)

// trialsAtOnce is how many trials are fetched at the same time.
const trialsAtOnce = 4

// Progress counts what has been done of the trials that have ended.
type Progress struct {
	Trials  int   `json:"trials"`     // that have ended and have a folder
	Fetched int   `json:"fetched"`    // of them, now
	Kept    int   `json:"kept"`       // of them, there and whole already
	Bytes   int64 `json:"bytes"`      // fetched
	Open    int   `json:"unfinished"` // trials that have begun and not ended: they have no folder yet
}

// Options of Pull.
type Options struct {
	Report func(Progress) // called after each trial, never twice at once; nil: nobody listens
	Tasks  string         // folder with the tasks' folders, which paths in the files shall lead to; empty: they stay the tasks' names
}

// Pull writes an experiment to dir as a job directory, whose last two path elements become jobs_dir and job_name. What is there already and
// whole stays as it is, so that a pull that was interrupted, or was made while trials ran, goes on where it ended;
// a trial's folder appears when all of it is there. Trials that have not ended are left out. ErrForeign if dir is in use for something else.
func Pull(ctx context.Context, s Source, e api.Experiment, dir string, o Options) (Progress, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Progress{}, err
	}
	job, err := s.JobFiles(ctx, e.ID)
	if err != nil {
		return Progress{}, err
	}
	root, err := open(dir, e.ID)
	if err != nil {
		return Progress{}, err
	}
	defer root.Close()
	where := setting{dir: dir}
	if o.Tasks != "" {
		if where.tasks, err = filepath.Abs(o.Tasks); err != nil {
			return Progress{}, err
		}
	}
	p := &puller{source: s, root: root, setting: where, report: o.Report, name: e.Name}
	if err := p.begin(ctx, job); err != nil {
		return p.progress, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(trialsAtOnce)
	for _, t := range p.ended {
		group.Go(func() error {
			if err := p.trial(ctx, t); err != nil {
				return fmt.Errorf("trial %s: %w", t.TrialID, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return p.progress, err
	}
	return p.progress, p.end(job)
}

// puller is one pull.
type puller struct {
	source Source
	root   *os.Root
	setting
	name   string // of the experiment
	report func(Progress)
	rows   map[string]api.Trial
	ended  []api.JobTrial

	mu       sync.Mutex
	progress Progress
}

// begin says whose the directory is, before anything else is in it, and removes folders that the experiment has no more.
func (p *puller) begin(ctx context.Context, job api.JobFiles) error {
	rows, err := p.source.ExperimentTrials(ctx, job.ExperimentID)
	if err != nil {
		return err
	}
	p.rows = make(map[string]api.Trial, len(rows))
	for _, t := range rows {
		p.rows[t.ID] = t
	}
	folders := map[string]bool{}
	for _, t := range job.Trials {
		if !t.Status.Terminal() {
			p.progress.Open++
			continue
		}
		if !plain(t.Folder) {
			return fmt.Errorf("the server names the folder of trial %s %q, which is no plain name", t.TrialID, t.Folder)
		}
		folders[t.Folder] = true
		p.ended = append(p.ended, t)
	}
	p.progress.Trials = len(p.ended)
	former, err := readMark(p.root)
	if err == nil {
		for _, t := range former.Trials {
			if plain(t.Folder) && !folders[t.Folder] { // tried again meanwhile, or deleted
				if err := p.root.RemoveAll(t.Folder); err != nil {
					return err
				}
			}
		}
	}
	mark := Mark{ExperimentID: job.ExperimentID, ExperimentName: p.name, Trials: make([]MarkedTrial, len(p.ended))}
	for i, t := range p.ended {
		mark.Trials[i] = marked(t, p.rows[t.TrialID])
	}
	return p.write(MarkFile, mark)
}

// end writes the job's own files. They come last: with them the directory is a job's.
func (p *puller) end(job api.JobFiles) error {
	for _, f := range []struct {
		name  string
		doc   json.RawMessage
		place func(map[string]any)
	}{{result.ConfigFile, job.Config, p.placeJob}, {result.LockFile, job.Lock, p.placeLock}} {
		var doc map[string]any
		if err := json.Unmarshal(f.doc, &doc); err != nil || doc == nil {
			return fmt.Errorf("the server's %s is no JSON object: %w", f.name, err)
		}
		f.place(doc)
		if err := p.write(f.name, doc); err != nil {
			return err
		}
	}
	return p.write(result.ResultFile, job.Result)
}

func (p *puller) write(name string, v any) error {
	return result.WriteJSON(filepath.Join(p.dir, name), v)
}

// done counts a trial whose folder is there, or was there before.
func (p *puller) done(fetched int64, was bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if was {
		p.progress.Kept++
	} else {
		p.progress.Fetched++
		p.progress.Bytes += fetched
	}
	if p.report != nil {
		p.report(p.progress)
	}
}
