package flight

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestCallersOfOneKeyShareTheWorkAndWhatIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		runs := 0
		work := func(_ context.Context, out io.Writer) (int, error) {
			runs++
			for _, word := range []string{"one ", "two ", "three"} {
				_, _ = io.WriteString(out, word)
				time.Sleep(time.Second)
			}
			return 7, nil
		}
		var all sync.WaitGroup
		for i := range 3 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 700 * time.Millisecond)
				var said bytes.Buffer
				if n, err := g.Do(t.Context(), "key", &said, work); n != 7 || err != nil || said.String() != "one two three" {
					t.Errorf("caller %d got %d, %v, and was told %q", i, n, err, said.String())
				}
			})
		}
		all.Wait()
		if runs != 1 {
			t.Errorf("the work was done %d times", runs)
		}
		if n, err := g.Do(t.Context(), "key", nil, work); n != 7 || err != nil || runs != 2 {
			t.Errorf("asked again later: %d, %v, %d runs", n, err, runs)
		}
	})
}

func TestWorkEndsWhenTheLastCallerLeavesAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		ended := make(chan time.Duration, 2)
		begun := time.Now()
		work := func(ctx context.Context, _ io.Writer) (int, error) {
			<-ctx.Done()
			ended <- time.Since(begun)
			return 0, ctx.Err()
		}
		for _, patience := range []time.Duration{time.Second, 3 * time.Second} {
			go func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				if _, err := g.Do(ctx, "key", nil, work); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("whoever left got %v", err)
				}
			}()
		}
		if after := <-ended; after != 3*time.Second {
			t.Errorf("the work ended after %s", after)
		}
		if n, err := g.Do(t.Context(), "key", nil, func(context.Context, io.Writer) (int, error) { return 5, nil }); n != 5 || err != nil {
			t.Errorf("whoever came after that got %d, %v", n, err)
		}
	})
}

func TestWhoeverAsksWhileAbandonedWorkEndsBeginsAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g Group[int]
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			_, _ = g.Do(ctx, "key", nil, func(ctx context.Context, _ io.Writer) (int, error) {
				<-ctx.Done()
				time.Sleep(time.Minute) // it takes its time
				return 1, ctx.Err()
			})
		}()
		synctest.Wait()
		cancel()
		synctest.Wait()
		again := func(context.Context, io.Writer) (int, error) { time.Sleep(2 * time.Minute); return 2, nil }
		if n, err := g.Do(t.Context(), "key", nil, again); n != 2 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

func TestWorkThatTakesLongerThanTheLimitIsEnded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := Group[int]{Limit: time.Hour}
		_, err := g.Do(t.Context(), "key", nil, func(ctx context.Context, _ io.Writer) (int, error) { <-ctx.Done(); return 0, ctx.Err() })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

// broken takes nothing.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no") }

func TestOutputIsBoundedAndItsReadersMayFail(t *testing.T) {
	t.Parallel()
	var g Group[int]
	var said bytes.Buffer
	shout := func(_ context.Context, out io.Writer) (int, error) {
		for range 20 {
			_, _ = io.WriteString(out, strings.Repeat("x", MaxOutput/10))
		}
		return 3, nil
	}
	if n, err := g.Do(t.Context(), "key", &said, shout); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if said.Len() > MaxOutput+100 || !strings.HasSuffix(said.String(), "8 MiB were said]\n") {
		t.Errorf("told %d bytes, the end of which is %q", said.Len(), said.String()[max(0, said.Len()-80):])
	}
	if n, err := g.Do(t.Context(), "key", broken{}, shout); n != 3 || err != nil {
		t.Errorf("with a reader that fails: %d, %v", n, err)
	}
}
