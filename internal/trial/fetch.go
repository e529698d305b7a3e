package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"oddish/internal/agent"
	"oddish/internal/sandbox"
	"oddish/internal/tarball"
)

// What may come out of one sandbox: the agent's logs, the artifacts together, and the verifier's logs each.
const (
	maxFetchBytes int64 = 1 << 30
	maxFetchFile  int64 = 256 << 20
	maxFetchFiles       = 50_000
)

// maxNotes bounds how many left-out files of one folder trial.log names.
const maxNotes = 20

// fetch copies src out of the sandbox into dst (a folder), which is at most most bytes; links and what is over
// the limits is left out and noted in trial.log.
func (r *run) fetch(ctx context.Context, box sandbox.Sandbox, src, dst string, most int64) (tarball.Report, error) {
	return r.fetchWith(ctx, box, src, dst, tarball.UnpackOptions{Limits: tarball.Limits{Bytes: most}})
}

// fetchWith is fetch with options; of the limits only that of all bytes.
func (r *run) fetchWith(ctx context.Context, box sandbox.Sandbox, src, dst string, o tarball.UnpackOptions) (tarball.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	pr, pw := io.Pipe()
	defer pr.Close()
	sent := make(chan error, 1)
	go func() {
		err := protect(func() error { return box.Download(ctx, src, pw) })
		sent <- err
		pw.CloseWithError(err)
	}()
	o.Lenient, o.Limits.FileBytes, o.Limits.Files = true, min(o.Limits.Bytes, maxFetchFile), r.maxFiles
	report, err := tarball.Unpack(pr, dst, o)
	r.note(src, report)
	select {
	case e := <-sent: // Download ended first: its error is the cause of Unpack's
		if e != nil {
			err = e
		}
	default: // Unpack has had enough, or failed
		pr.CloseWithError(io.ErrClosedPipe)
		cancel()
		<-sent
	}
	if err != nil {
		return report, fmt.Errorf("fetch %s: %w", src, err)
	}
	return report, nil
}

// note tells in trial.log what was left out of a folder.
func (r *run) note(src string, report tarball.Report) {
	for i, s := range report.Skipped {
		if i == maxNotes {
			r.log.Warn("further files were left out", "folder", src, "count", len(report.Skipped)-i)
			break
		}
		r.log.Warn("file left out", "folder", src, "file", s.Name, "reason", s.Reason)
	}
	for i, name := range report.Truncated {
		if i == maxNotes {
			r.log.Warn("further files were cut", "folder", src, "count", len(report.Truncated)-i)
			break
		}
		r.log.Warn("file cut at the limit", "folder", src, "file", name)
	}
}

// fetchAgentLogs copies the agent's log folder into the trial directory.
func (r *run) fetchAgentLogs(ctx context.Context) error {
	_, err := r.fetch(ctx, r.box, agent.LogsDir, r.step.agentDir(), maxFetchBytes)
	if errors.Is(err, sandbox.ErrNotFound) {
		return nil
	}
	return err
}

// collect fetches the agent's logs, runs the task's commands and fetches the artifacts. Only a sandbox that is gone, or a disk that takes no more, is an error.
func (r *run) collect(ctx context.Context) error {
	if err := r.fetchAgentLogs(ctx); err != nil {
		if hopeless(ctx, err) {
			return err
		}
		r.log.Warn("agent logs are incomplete", "error", err)
	}
	r.step.collected = true
	r.report()
	if err := r.runHooks(ctx); err != nil {
		return err
	}
	return r.collectArtifacts(ctx)
}

// hopeless tells errors after which fetching anything else is useless.
func hopeless(ctx context.Context, err error) bool {
	var path *os.PathError
	return ctx.Err() != nil || errors.Is(err, sandbox.ErrLost) || errors.As(err, &path)
}

// salvage saves, after the error that ended the trial, what the sandbox still has.
func (r *run) salvage(ctx context.Context) {
	s := r.step
	if s == nil || errors.Is(r.fatal, sandbox.ErrLost) || errors.Is(context.Cause(ctx), ErrAbandoned) {
		return
	}
	r.closeLive()
	limit := salvageTimeout
	if ctx.Err() != nil {
		limit = cancelTimeout
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	steps := []func(context.Context) error{}
	if box := r.verifierBox(); s.verifying && box != nil {
		steps = append(steps, func(ctx context.Context) error { _, err := r.fetchVerifierLogs(ctx, box); return err })
	}
	if !s.collected && r.box != nil {
		steps = append(steps, r.collect)
	}
	for _, step := range steps {
		if err := protect(func() error { return step(ctx) }); err != nil {
			r.log.Warn("outputs could not be saved in full", "error", err)
		}
	}
}

// stop stops the sandboxes, whatever became of ctx.
func (r *run) stop(ctx context.Context) {
	r.closeLive()
	var verifier sandbox.Sandbox
	if r.step != nil {
		verifier = r.step.box
	}
	if r.box == nil && verifier == nil {
		return
	}
	r.journal.add(Entry{Event: eventBegin, Phase: phaseStop})
	end := Entry{Event: eventEnd, Phase: phaseStop}
	kept := r.keep(ctx, r.box, verifier)
	for _, box := range []sandbox.Sandbox{verifier, r.box} {
		if box == nil || box == kept {
			continue
		}
		if err := r.stopBox(ctx, box); err != nil {
			end.Error = classify(err).Type
		}
	}
	r.journal.add(end)
}

// stopBox stops one sandbox, if there is one. That it fails is told, and harms no result.
func (r *run) stopBox(ctx context.Context, box sandbox.Sandbox) error {
	if box == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	r.saveNetworkLog(ctx, box)
	r.saveServiceLogs(ctx, box)
	err := protect(func() error { return box.Stop(ctx) })
	if err != nil {
		r.log.Error("sandbox could not be stopped", "id", box.ID(), "error", err)
		r.Log.Error("sandbox could not be stopped; it will be removed by its labels",
			"trial", r.Spec.TrialID, "sandbox", box.ID(), "error", err)
	}
	return err
}
