package worker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"oddish/internal/sandbox"
)

// imageStub is a provider that keeps images.
type imageStub struct {
	sandbox.Provider
	keep  []int64
	since []time.Time
}

func (s *imageStub) Images(context.Context) ([]sandbox.ImageInfo, error) { return nil, nil }

func (s *imageStub) PruneImages(_ context.Context, keep int64, since time.Time) ([]sandbox.ImageInfo, error) {
	s.keep, s.since = append(s.keep, keep), append(s.since, since)
	return []sandbox.ImageInfo{{Names: []string{"old"}}}, nil
}

func TestUnusedImagesAreRemovedBeyondTheBound(t *testing.T) {
	t.Parallel()
	for _, bound := range []int64{0, 5000} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1, success)
			stub := &imageStub{Provider: r.provider}
			r.config.Providers = []sandbox.Provider{stub}
			r.config.KeepImages = bound
			r.start()
			synctest.Wait()
			time.Sleep(reapEvery + time.Second)
			synctest.Wait()
			r.finish()
			switch {
			case bound == 0 && len(stub.keep) > 0:
				t.Errorf("without a bound it was asked for %v", stub.keep)
			case bound > 0 && (len(stub.keep) != 2 || stub.keep[1] != bound || stub.since[1].Sub(stub.since[0]) != reapEvery):
				t.Errorf("asked for %v, since %v", stub.keep, stub.since)
			}
		})
	}
}
