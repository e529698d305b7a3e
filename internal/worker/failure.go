package worker

import (
	"context"
	"errors"
	"fmt"

	"oddish/api"
)

// Names under which a worker's own errors appear in results, beside Harbor's exception names.
const (
	errorTaskArchive  = "TaskArchiveError"   // the stored task is damaged
	errorTaskDownload = "TaskDownloadError"  // it could not be fetched or unpacked here
	errorRecording    = "RecordingError"     // there is nothing that the trial could replay
	errorNoSandbox    = "SandboxKindMissing" // this worker does not offer the kind
	errorWorker       = "WorkerError"        // this machine: disk, permissions
	errorShutdown     = "WorkerShutdown"     // the attempt is handed back
	errorRefused      = "OutcomeRefused"     // the server did not take the outcome
)

// failure is why a trial could not be run, with what that means for another attempt. It is never
// repeated by persist.
type failure struct {
	kind  string
	class api.ErrorClass
	err   error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func permanent(kind, format string, args ...any) error {
	return &failure{kind: kind, class: api.ClassPermanent, err: fmt.Errorf(format, args...)}
}

func trouble(kind, format string, args ...any) error {
	return &failure{kind: kind, class: api.ClassInfrastructure, err: fmt.Errorf(format, args...)}
}

func isFailure(err error) bool {
	var f *failure
	return errors.As(err, &f)
}

// finishFor is the end of an attempt that failed with err before its trial was started.
func finishFor(j *job, err error) api.Finish {
	if j.cancelled() {
		return api.Finish{Outcome: api.StatusCancelled}
	}
	f := &failure{kind: errorWorker, class: api.ClassInfrastructure, err: err}
	errors.As(err, &f)
	return api.Finish{
		Outcome:      api.StatusFailed,
		ErrorType:    f.kind,
		ErrorMessage: f.Error(),
		ErrorClass:   f.class,
	}
}

// notSurvived hands an attempt back whose sandbox cannot be reached any more.
func notSurvived(j *job) api.Finish {
	return api.Finish{
		Outcome:      api.StatusCancelled,
		ErrorType:    errorShutdown,
		ErrorMessage: fmt.Sprintf("the sandbox did not survive the worker: after its restart it offers no sandboxes of kind %q", j.Trial.Environment),
		ErrorClass:   api.ClassInfrastructure,
	}
}

// released hands an attempt back to the queue: stopped, though nobody asked for it. What it used of models was used all the same.
func released(j *job, f api.Finish) api.Finish {
	return api.Finish{
		Outcome:      api.StatusCancelled,
		ErrorType:    errorShutdown,
		ErrorMessage: context.Cause(j.run).Error(),
		ErrorClass:   api.ClassInfrastructure,
		InputTokens:  f.InputTokens,
		CacheTokens:  f.CacheTokens,
		OutputTokens: f.OutputTokens,
		CostUSD:      f.CostUSD,
		UsageDetails: f.UsageDetails,
	}
}
