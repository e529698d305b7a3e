package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// errIdle is the cause of a context that a watchdog ended.
var errIdle = errors.New("connection is idle")

// watchdog ends a context when nothing happened for a while. A dead peer sends no error,
// only silence, and an overall deadline would cut long downloads that go well.
type watchdog struct {
	timer  *time.Timer
	idle   time.Duration
	cancel context.CancelCauseFunc
}

func watch(ctx context.Context, idle time.Duration) (context.Context, *watchdog) {
	ctx, cancel := context.WithCancelCause(ctx)
	err := fmt.Errorf("%w: nothing moved for %v", errIdle, idle)
	return ctx, &watchdog{
		timer:  time.AfterFunc(idle, func() { cancel(err) }),
		idle:   idle,
		cancel: cancel,
	}
}

func (w *watchdog) touch() { w.timer.Reset(w.idle) }

// stop ends the context and the timer. It may be called more than once.
func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}

// watchedReader touches the watchdog at each byte that passes, and calls done once it is closed.
type watchedReader struct {
	io.ReadCloser
	w    *watchdog
	wrap func(error) error // names the request in a read error; nil: leave as it is
	done func()
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if n > 0 {
		r.w.touch()
	}
	if err != nil && err != io.EOF && r.wrap != nil {
		err = r.wrap(err)
	}
	return n, err
}

func (r *watchedReader) Close() error {
	err := r.ReadCloser.Close()
	if r.done != nil {
		r.done()
	}
	return err
}
