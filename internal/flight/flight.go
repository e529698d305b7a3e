// Package flight lets callers share work: what several ask for at once is done once, everybody gets its outcome and what was said on the
// way, and it ends early once nobody waits for it any more.
//
// It knows nothing of what the work is; packages image and sandbox/docker, above it, share pulls and builds of images.
package flight

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"
)

// MaxOutput bounds what is kept of what a piece of work says, in bytes; the rest is dropped with a note.
const MaxOutput = 8 << 20

// Group is the work that is under way. The zero value is ready. It is safe for concurrent use and must not be copied.
type Group[T any] struct {
	// Limit bounds each piece of work; zero: nothing does.
	Limit time.Duration

	mu    sync.Mutex
	calls map[string]*call[T]
}

type call[T any] struct {
	output
	cancel  context.CancelFunc
	waiting int           // callers, guarded by Group.mu
	done    chan struct{} // closed when value and err are set
	value   T
	err     error
}

// Do gives what fn gives for the key, which is run unless it is under way already. fn's context has the values of the first caller's and ends when the last
// caller's has; whoever asks after that begins anew. What fn writes to its output goes to out as it comes, for each caller from the beginning;
// nil: nowhere. An error of out ends the copying alone. When ctx ends before the work does, its error is returned at once.
func (g *Group[T]) Do(ctx context.Context, key string, out io.Writer, fn func(ctx context.Context, out io.Writer) (T, error)) (T, error) {
	c := g.join(ctx, key, fn)
	defer g.leave(key, c)
	var told int
	for {
		data, more := c.after(told)
		if out != nil && len(data) > 0 {
			if _, err := out.Write(data); err != nil {
				out = nil
			}
		}
		told += len(data)
		select {
		case <-c.done:
			if data, _ := c.after(told); out != nil && len(data) > 0 {
				_, _ = out.Write(data) // its reader's loss
			}
			return c.value, c.err
		case <-ctx.Done():
			var none T
			return none, fmt.Errorf("wait for %s: %w", key, context.Cause(ctx))
		case <-more:
		}
	}
}

func (g *Group[T]) join(ctx context.Context, key string, fn func(context.Context, io.Writer) (T, error)) *call[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.calls[key]; c != nil {
		c.waiting++
		return c
	}
	c := &call[T]{waiting: 1, done: make(chan struct{}), output: output{more: make(chan struct{})}}
	ctx = context.WithoutCancel(ctx)
	if g.Limit > 0 {
		ctx, c.cancel = context.WithTimeout(ctx, g.Limit)
	} else {
		ctx, c.cancel = context.WithCancel(ctx)
	}
	if g.calls == nil {
		g.calls = map[string]*call[T]{}
	}
	g.calls[key] = c
	go func() {
		defer c.cancel()
		c.value, c.err = fn(ctx, c)
		g.mu.Lock()
		g.forget(key, c)
		g.mu.Unlock()
		close(c.done)
	}()
	return c
}

// leave ends the work once its last caller has gone.
func (g *Group[T]) leave(key string, c *call[T]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c.waiting--; c.waiting == 0 {
		g.forget(key, c)
		c.cancel()
	}
}

// forget makes the next caller begin anew.
func (g *Group[T]) forget(key string, c *call[T]) {
	if g.calls[key] == c {
		delete(g.calls, key)
	}
}

// output is what was said so far.
type output struct {
	mu   sync.Mutex
	said []byte
	more chan struct{} // closed when more is said
}

// Write keeps data within MaxOutput. It never fails.
func (o *output) Write(data []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	room := MaxOutput - len(o.said)
	if room < 0 {
		return len(data), nil
	}
	o.said = append(o.said, data[:min(room, len(data))]...)
	if len(data) > room {
		o.said = append(o.said, fmt.Sprintf("\n[what follows is left out: more than %d MiB were said]\n", MaxOutput>>20)...)
	}
	close(o.more)
	o.more = make(chan struct{})
	return len(data), nil
}

// after gives what was said after the first n bytes, and what is closed when there is more.
func (o *output) after(n int) ([]byte, <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.said[n:], o.more
}
