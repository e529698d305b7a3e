package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"oddish/internal/image"
	"oddish/internal/sandbox"
)

// sharedBuildCases are about builds that several wait for, or nobody.
func (s *suite) sharedBuildCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"what a build says goes to all who wait for it":  s.buildIsTold,
		"what a build that fails says is kept":           s.failedBuildIsTold,
		"a build that is there says nothing":             s.noBuildIsTold,
		"a build that nobody waits for any more is over": s.buildIsAbandoned,
	}
}

// dockerfileOf gives an image that is built of a Dockerfile, anew in each run of the suite.
func dockerfileOf(t *testing.T, text string) sandbox.Image {
	t.Helper()
	dir := t.TempDir()
	text = "FROM debian:bookworm-slim\nENV RUN_OF_SUITE=" + filepath.Base(dir) + fmt.Sprint(time.Now().UnixNano()) + "\n" + text
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return sandbox.Image{Context: dir, Digest: strings.TrimPrefix(image.Digest(text), "sha256:")}
}

// said is what a build says, and tells when a word is among it.
type said struct {
	mu   sync.Mutex
	text strings.Builder
	word string
	has  chan struct{}
}

func listenFor(word string) *said { return &said{word: word, has: make(chan struct{})} }

func (s *said) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := strings.Contains(s.text.String(), s.word)
	s.text.Write(p)
	if !had && strings.Contains(s.text.String(), s.word) {
		close(s.has)
	}
	return len(p), nil
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *suite) buildIsTold(t *testing.T) {
	img := dockerfileOf(t, "RUN echo said $((40+2)) times; sleep 1; echo to the end\n")
	var all sync.WaitGroup
	for i := range 3 {
		all.Go(func() {
			log := listenFor("said 42 times")
			spec := s.spec(t)
			spec.Name += fmt.Sprint(i)
			spec.Image, spec.BuildLog = img, log
			sb, err := s.Provider.Start(t.Context(), spec)
			if err == nil {
				err = sb.Stop(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
			if text := log.String(); !strings.Contains(text, "said 42 times\n") || !strings.Contains(text, "to the end\n") {
				t.Errorf("was told %q", text)
			}
		})
	}
	all.Wait()
}

func (s *suite) failedBuildIsTold(t *testing.T) {
	log := listenFor("x")
	spec := s.spec(t)
	spec.Image, spec.BuildLog = dockerfileOf(t, "RUN echo why it fails; exit 3\n"), log
	_, err := s.Provider.Start(t.Context(), spec)
	if !errors.Is(err, sandbox.ErrBuild) || !strings.Contains(err.Error(), "why it fails") || !strings.Contains(log.String(), "why it fails") {
		t.Errorf("got %v, was told %q", err, log.String())
	}
}

func (s *suite) noBuildIsTold(t *testing.T) {
	img := dockerfileOf(t, "RUN true\n")
	s.start(t, func(spec *sandbox.Spec) { spec.Image = img })
	log := listenFor("x")
	s.start(t, func(spec *sandbox.Spec) { spec.Image, spec.BuildLog = img, log })
	if text := log.String(); text != "" {
		t.Errorf("was told %q", text)
	}
}

// buildIsAbandoned leaves more builds than are carried out at once, so that another has its turn only if they end.
func (s *suite) buildIsAbandoned(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const many = 4
	first := listenFor("it has begun")
	ended := make(chan error, many)
	for i := range many {
		spec := s.spec(t)
		spec.Name += fmt.Sprint(i)
		spec.Image, spec.BuildLog = dockerfileOf(t, fmt.Sprintf("RUN echo it has begun; sleep 60%d\n", i)), first
		go func() {
			_, err := s.Provider.Start(ctx, spec)
			ended <- err
		}()
	}
	select {
	case <-first.has:
	case <-time.After(time.Minute): // no builds are begun
		t.Error("no build has begun")
	}
	cancel()
	for range many {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel = context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	spec := s.spec(t)
	spec.Image = dockerfileOf(t, "RUN true\n")
	sb, err := s.Provider.Start(ctx, spec)
	if err != nil {
		t.Fatalf("no other build gets its turn: %v", err)
	}
	if err := sb.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
