package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"oddish/api"
	"oddish/internal/task"
)

// maxUploads is how many tasks are uploaded at once.
const maxUploads = 4

// submission is what was queued by one `oddish run`.
type submission struct {
	experimentID   string
	experimentName string
	tasks          []api.Submitted
	trialIDs       []string // all that the run is about
	known          []string // of those: what the experiment had already
	made, retried  int
	invalid        int // tasks that were left out since they are none
}

func (s *submission) existing() int { return len(s.trialIDs) - s.made - s.retried }

// counts says what was there already; empty if nothing was.
func (s *submission) counts() string {
	total := plural(len(s.trialIDs), "trial")
	switch existing := s.existing(); {
	case len(s.known) == 0:
		return ""
	case existing == len(s.trialIDs):
		return total + ": all there already (--again runs all of them anew)"
	default:
		var parts []string
		for _, p := range []struct {
			n     int
			words string
		}{{existing, "there already"}, {s.retried, "tried again"}, {s.made, "new"}} {
			if p.n > 0 {
				parts = append(parts, fmt.Sprintf("%d %s", p.n, p.words))
			}
		}
		return total + ": " + strings.Join(parts, ", ") + " (--again runs all of them anew)"
	}
}

// uploaded is a task that the server has in the content that lies on this machine.
type uploaded struct {
	id, hash string
	sent     bool // its content was not there yet
	origin   *api.TaskOrigin
}

// submit uploads what changed, and then queues the trials of every task. Nothing is queued unless all uploads succeeded.
func (a *App) submit(ctx context.Context, c connection, p *runPlan, tasks *runTasks) (*submission, error) {
	var ups []uploaded
	if p.taskID != "" {
		t, err := c.client.Task(ctx, p.taskID)
		if err != nil {
			return nil, c.explain(err)
		}
		ups = []uploaded{{id: t.ID}}
	} else {
		var err error
		if ups, err = uploadAll(ctx, c, tasks.tasks); err != nil {
			return nil, err
		}
		for i, t := range tasks.tasks {
			ups[i].origin = tasks.origins[t.Dir]
		}
		if !p.quiet {
			a.noteUploads(ups)
		}
		if tasks.source != "" {
			p.sweep.Source = &tasks.source
		}
		p.setMetrics(tasks.metrics)
	}
	sub := &submission{experimentName: firstNonEmpty(p.experiment, experimentName())}
	for _, up := range ups {
		if err := sub.add(ctx, c, p, up); err != nil {
			return nil, a.explainSubmit(c, sub, len(ups), err)
		}
	}
	return sub, nil
}

func (a *App) noteUploads(ups []uploaded) {
	sent := 0
	for _, u := range ups {
		if u.sent {
			sent++
		}
	}
	switch {
	case sent == 0:
		a.note("%s unchanged, nothing uploaded", plural(len(ups), "task"))
	case sent == len(ups):
		a.note("%s uploaded", plural(sent, "task"))
	default:
		a.note("%s uploaded, %d unchanged", plural(sent, "task"), len(ups)-sent)
	}
}

func uploadAll(ctx context.Context, c connection, tasks []*task.Task) ([]uploaded, error) {
	ups := make([]uploaded, len(tasks))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxUploads)
	for i, t := range tasks {
		g.Go(func() error {
			up, err := upload(ctx, c, t)
			ups[i] = up
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return ups, nil
}

// upload makes sure that the server has the task's content: first its digest, then the archive if that is new.
func upload(ctx context.Context, c connection, t *task.Task) (uploaded, error) {
	name := taskName(t)
	hash, err := task.Digest(t.Dir)
	if err != nil {
		return uploaded{}, fmt.Errorf("read task %s: %w", name, err)
	}
	up, err := c.client.InitUpload(ctx, api.UploadInit{Name: name, ContentHash: hash})
	if err != nil {
		return uploaded{}, fmt.Errorf("upload task %s: %w", name, c.explain(err))
	}
	out := uploaded{id: up.TaskID, hash: hash}
	if up.ContentUnchanged {
		return out, nil
	}
	err = c.client.PutArchive(ctx, up, func() (io.ReadCloser, error) { return packReader(t.Dir), nil })
	if err != nil {
		return uploaded{}, fmt.Errorf("upload task %s: %w", name, c.explain(err))
	}
	if up.RequiresCompletion {
		in := api.UploadComplete{TaskID: up.TaskID, Name: up.Name, Version: up.Version, ContentHash: hash}
		if _, err := c.client.CompleteUpload(ctx, in); err != nil {
			return uploaded{}, fmt.Errorf("upload task %s: %w", name, c.explain(err))
		}
	}
	out.sent = true
	return out, nil
}

// packReader packs while it is read, so that a large task is never whole in memory or on disk.
func packReader(dir string) io.ReadCloser {
	r, w := io.Pipe()
	go func() { w.CloseWithError(task.Pack(w, dir)) }()
	return r
}

// add queues the trials of one task that are not there yet. The first task makes the experiment; the others name it by its id, since names are not unique.
func (s *submission) add(ctx context.Context, c connection, p *runPlan, up uploaded) error {
	sweep := p.sweep
	sweep.Configs = p.configs()
	if up.origin != nil {
		harbor := api.HarborConfig{}
		if sweep.Harbor != nil {
			harbor = *sweep.Harbor
		}
		harbor.Origin, sweep.Harbor = up.origin, &harbor
	}
	return s.queue(ctx, c, sweep, up)
}

// queue sends the submission of one task and notes what came of it.
func (s *submission) queue(ctx context.Context, c connection, sweep api.Sweep, up uploaded) error {
	sweep.TaskID = up.id
	experiment := firstNonEmpty(s.experimentID, s.experimentName)
	sweep.ExperimentID = &experiment
	if up.hash != "" {
		sweep.ContentHash = &up.hash
	}
	got, err := c.client.Submit(ctx, sweep)
	if err != nil {
		return err
	}
	s.experimentID, s.experimentName = got.ExperimentID, got.ExperimentName
	s.tasks = append(s.tasks, got)
	known := slices.Concat(got.ExistingTrialIDs, got.RetriedTrialIDs)
	s.known = append(s.known, known...)
	s.trialIDs = append(append(s.trialIDs, known...), got.NewTrialIDs...)
	s.made += len(got.NewTrialIDs)
	s.retried += len(got.RetriedTrialIDs)
	return nil
}

// explainSubmit says, when a submission broke off, what had been queued before.
func (a *App) explainSubmit(c connection, s *submission, total int, err error) error {
	if len(s.tasks) > 0 {
		a.warn("%d of %d tasks were queued before this: see `oddish status -e %s`, or stop them with `oddish cancel -e %s`",
			len(s.tasks), total, s.experimentID, s.experimentID)
	}
	return fmt.Errorf("queue trials: %w", c.explain(err))
}

func experimentURL(c connection, id string) string { return c.endpoint.url + "/e/" + id }
