package worker

import (
	"context"
	"io"
	"path/filepath"
	"sync"
	"time"

	"oddish/api"
	"oddish/internal/sandbox"
	"oddish/internal/trial"
)

// runJob takes a job from its claim to its delivery. It returns when nothing of it runs any
// more and its folder is gone.
func (w *Worker) runJob(j *job) {
	ctx := j.held
	started := time.Now()
	begins := "trial claimed"
	if j.left != "" {
		begins = "trial resumed"
	}
	j.log.InfoContext(ctx, begins, "name", j.Trial.TrialName, "agent", j.Trial.Agent, "sandbox", j.Trial.Environment)
	defer j.report.close()

	dir, remove, err := w.jobDir(j)
	if err != nil {
		j.settle()
		w.finish(j, finishFor(j, err))
		return
	}
	if j.left != "" {
		// An engine may have finished a start that the former process had asked of it, beside the one that was then used.
		defer w.reapAtEnd(j.held)
	}
	defer remove()

	finish := w.perform(j, dir)
	if !j.settle() {
		j.log.InfoContext(ctx, "trial dropped", "reason", context.Cause(j.held))
		return
	}
	if j.handedBack() && finish.Outcome != api.StatusSuccess {
		finish = released(j, finish)
	}
	w.deliver(j, dir, finish)
	j.log.DebugContext(ctx, "job over", "seconds", time.Since(started).Seconds())
}

// jobDir gives the job's folder, made now or by a former process, and how to remove it.
func (w *Worker) jobDir(j *job) (dir string, remove func(), err error) {
	dir = j.left
	if dir == "" {
		if dir, err = w.home.jobDir(j.Job); err != nil {
			return "", nil, err
		}
	}
	return dir, func() {
		if err := removeJobDir(dir); err != nil {
			j.log.WarnContext(j.held, "folder of the trial could not be removed", "dir", dir, "error", err)
		}
		if j.over != nil {
			j.over()
		}
	}, nil
}

// perform runs the trial with everything that it needs around it.
func (w *Worker) perform(j *job, dir string) api.Finish {
	taskDir, release, err := w.tasks.acquire(j.run, j.log, j.Trial, func(ctx context.Context) (io.ReadCloser, error) {
		return w.c.Server.TaskArchive(ctx, j.ID, j.Lease)
	})
	if err != nil {
		j.check(err)
		return finishFor(j, err)
	}
	defer release()
	provider, ok := w.kinds[j.Trial.Environment]
	if !ok && j.left != "" {
		return notSurvived(j)
	}
	if !ok {
		return finishFor(j, trouble(errorNoSandbox, "this worker offers no sandboxes of kind %q", j.Trial.Environment))
	}
	if !isFileName(j.Trial.TrialName) {
		return finishFor(j, permanent(errorWorker, "trial name %q cannot be the name of a folder", j.Trial.TrialName))
	}
	if !provider.Capabilities().Remote {
		leave, err := w.admit(j, w.c.resources(taskDir, j.Trial))
		if err != nil {
			return finishFor(j, err)
		}
		defer leave()
	}
	if err := w.confirm(j); err != nil {
		return finishFor(j, err)
	}
	rec, err := w.fetchRecording(j, dir)
	if err != nil {
		j.check(err)
		return finishFor(j, err)
	}
	defer rec.close()
	source, err := w.fetchSource(j, dir)
	if err != nil {
		j.check(err)
		return finishFor(j, err)
	}
	defer w.follow(j, dir)()
	return w.c.run(j.run, trial.Config{
		Spec:     j.Trial,
		TaskDir:  taskDir,
		Dir:      dir,
		Resume:   j.left != "",
		Source:   source,
		Provider: provider,
		Owner:    w.c.Owner,
		Getenv:   w.taskGetenv(j.Trial.Harbor.HostEnv),
		Secret:   j.secrets.Add,
		Packages: w.c.Packages,
		Stage:    j.report.stage,
		Sandbox:  j.report.sandbox,
		Keep:     w.keeper(j, provider.Kind()),
		Models:   w.door(j, dir, provider, rec),
		Log:      j.log,
	}).Finish
}

// door is the way of the trial to its model. The folder of the job lies in that of the worker which claimed it.
func (w *Worker) door(j *job, dir string, provider sandbox.Provider, rec *recording) *modelDoor {
	return &modelDoor{
		gate: w.gate, j: j, kind: provider.Kind(), addr: provider.Capabilities().ServiceAddr,
		home: filepath.Dir(filepath.Dir(dir)), dir: j.trialDir(dir), job: dir, recording: rec,
	}
}

// admit lets a trial in once the machine has room for it. One whose sandbox runs already is in.
func (w *Worker) admit(j *job, n need) (leave func(), err error) {
	if j.left != "" {
		return w.admission.join(n), nil
	}
	return w.admission.enter(j.run, n)
}

// confirm asks the server whether the lease is still held, now that the trial would start. The claim's answer may have been
// long on its way, or this process stopped, and the trial be another worker's by now: starting it as
// well would harm no result, but be one more than the limit allows.
func (w *Worker) confirm(j *job) error {
	err := persist(j.run, j.log, "lease", func(ctx context.Context) error {
		ack, err := w.c.Server.Progress(ctx, j.ID, j.Lease, api.Progress{Events: []api.ProgressEvent{}})
		if err == nil && ack.Cancel {
			j.stop(trial.ErrCancelled)
		}
		if err == nil && ack.BudgetExceeded != "" {
			j.tellOver(ack.BudgetExceeded)
		}
		return err
	})
	j.check(err)
	return err
}

// follow sends the growing files of the trial until the returned function is called.
func (w *Worker) follow(j *job, dir string) (stop func()) {
	ctx, cancel := context.WithCancel(j.held)
	var wg sync.WaitGroup
	wg.Go(func() { newTail(w.c.Server, j, j.trialDir(dir)).run(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// deliver sends every file, then the last reports, then the outcome, and goes on until the server
// has all or the lease is lost.
func (w *Worker) deliver(j *job, dir string, finish api.Finish) {
	if err := w.upload(j, j.trialDir(dir)); err != nil {
		j.check(err)
		j.log.InfoContext(j.held, "trial dropped while its files were sent", "reason", err)
		return
	}
	j.report.flush()
	finish.ErrorMessage = j.secrets.String(finish.ErrorMessage)
	w.finish(j, finish)
}

// finish ends the attempt on the server. If the server takes everything but this
// outcome, it gets one that says so, because an attempt without an end would be run again and again.
func (w *Worker) finish(j *job, f api.Finish) {
	ack, err := w.sendFinish(j, f)
	if isRefused(err) {
		j.log.ErrorContext(j.held, "server refuses the outcome of the trial", "error", err)
		ack, err = w.sendFinish(j, api.Finish{
			Outcome:      api.StatusFailed,
			ErrorType:    errorRefused,
			ErrorMessage: err.Error(),
			ErrorClass:   api.ClassInfrastructure,
		})
	}
	if err != nil {
		j.check(err)
		j.log.InfoContext(j.held, "trial dropped before its end was accepted", "reason", err)
		return
	}
	j.log.InfoContext(j.held, "trial finished", "outcome", f.Outcome, "status", ack.Status,
		"rewards", f.Rewards, "error_type", f.ErrorType, "error", f.ErrorMessage)
}

func (w *Worker) sendFinish(j *job, f api.Finish) (api.FinishAck, error) {
	var ack api.FinishAck
	err := persist(j.held, j.log, "finish", func(ctx context.Context) (err error) {
		ack, err = w.c.Server.Finish(ctx, j.ID, j.Lease, f)
		return err
	})
	return ack, err
}
