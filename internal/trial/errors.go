package trial

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/debug"
	"time"

	"oddish/api"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// classify gives an error of whatever kind its name and class.
func classify(err error) *result.Error {
	var named *result.Error
	if errors.As(err, &named) {
		return named
	}
	var path *fs.PathError
	name := result.RuntimeError
	switch {
	case errors.Is(err, sandbox.ErrUnsupported):
		name = result.UnsupportedTaskError
	case errors.Is(err, sandbox.ErrBuild):
		name = result.SandboxBuildFailedError
	case errors.Is(err, sandbox.ErrOutOfMemory):
		name = result.OutOfMemoryError
	case errors.Is(err, sandbox.ErrLost):
		name = result.SandboxLostError
	case errors.Is(err, sandbox.ErrDiskFull), errors.As(err, &path):
		name = result.OSError
	}
	return result.Errorf(name, "%w", err)
}

// interruption gives the error for a context that has ended from outside; nil if it has not.
func interruption(ctx context.Context) *result.Error {
	if ctx.Err() == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if errors.Is(cause, ErrCancelled) {
		return result.Errorf(result.CancelledError, "the trial was cancelled")
	}
	return result.Errorf(result.WorkerLost, "the worker gave up the trial: %w", cause)
}

// panicked is a panic turned into an error.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v", p.value) }

// protect gives f's error, or the panic that ended it as an InternalError.
func protect(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = result.Errorf(result.InternalError, "%w", &panicked{v, debug.Stack()})
		}
	}()
	return f()
}

// traceback gives what exception.txt says: the error and, of a panic, the stack.
func traceback(e *result.Error) string {
	text := e.Error() + "\n"
	var p *panicked
	if errors.As(e, &p) {
		text += "\n" + string(p.stack)
	}
	return text
}

// failure gives the finish of a trial that could not begin.
func failure(err error) api.Finish {
	e := classify(err)
	return api.Finish{Outcome: api.StatusFailed, ErrorType: e.Type, ErrorMessage: result.ClipMessage(e.Message), ErrorClass: e.Class}
}
func now() time.Time { return result.Time(time.Now()) }
