package sandboxtest

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"

	"oddish/internal/sandbox"
)

// againCases are about what another process sees, and what the first one sees when the other has acted.
func (s *suite) againCases() map[string]func(*testing.T) {
	cases := map[string]func(*testing.T){
		"another process stops it, and it is lost to the first": s.stoppedByAnother,
		"a stopped sandbox is lost to all its uses":             s.lostToAll,
		"another process lists it":                              s.listedByAnother,
		"four start at once":                                    s.fourAtOnce,
		"no id begins with another":                             s.prefixIDs,
		"a Dockerfile that is not there cannot be built":        s.noDockerfile,
	}
	if !s.NoProcesses {
		cases["another process finds environment, directory and files"] = s.foundAgain
	}
	return cases
}

// another is what a second process would use.
func (s *suite) another(t *testing.T) sandbox.Provider {
	if s.Other == nil {
		return s.Provider
	}
	return s.Other(t)
}

func (s *suite) foundAgain(t *testing.T) {
	sb := s.start(t, func(spec *sandbox.Spec) {
		spec.Workdir = "/tmp/work"
		spec.Env = map[string]string{"FROM_SPEC": "a b"}
	})
	sh(t, sb, "echo here >mark")
	again, err := s.another(t).Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "id", again.ID(), sb.ID())
	equal(t, "what is found", sh(t, again, `echo "$PWD $FROM_SPEC $(cat mark)"`), "/tmp/work a b here\n")
}

func (s *suite) stoppedByAnother(t *testing.T) {
	sb := s.start(t)
	again, err := s.another(t).Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := sb.Exec(t.Context(), sandbox.Command{Script: "true"}); !errors.Is(err, sandbox.ErrLost) {
		t.Errorf("exec: got %v, want %v", err, sandbox.ErrLost)
	}
	if err := sb.Stop(t.Context()); err != nil {
		t.Errorf("stop: %v", err)
	}
}

func (s *suite) lostToAll(t *testing.T) {
	sb := s.start(t)
	if err := sb.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, execErr := sb.Exec(soon(t), sandbox.Command{Script: "true"})
	_, runErr := sb.Run(soon(t), s.process("p", "true"))
	for what, err := range map[string]error{
		"exec":     execErr,
		"run":      runErr,
		"upload":   sb.Upload(soon(t), "/tmp/d", tarOf(file{name: "f"})),
		"download": sb.Download(soon(t), "/logs", &bytes.Buffer{}),
	} {
		if !errors.Is(err, sandbox.ErrLost) {
			t.Errorf("%s: got %v, want %v", what, err, sandbox.ErrLost)
		}
	}
}

func (s *suite) listedByAnother(t *testing.T) {
	labels := map[string]string{"oddish.trial": "t-1", "other": "a b=c"}
	sb := s.start(t, func(spec *sandbox.Spec) { spec.Labels = labels })
	list, err := s.another(t).List(t.Context(), s.owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		if info.ID != sb.ID() {
			continue
		}
		for k, v := range labels {
			equal(t, "label "+k, info.Labels[k], v)
		}
		return
	}
	t.Error("not listed")
}

func (s *suite) fourAtOnce(t *testing.T) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			sb, err := s.Provider.Start(t.Context(), s.spec(t))
			if err != nil {
				t.Error(err)
				return
			}
			if err := sb.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func (s *suite) prefixIDs(t *testing.T) {
	a, b := s.start(t), s.start(t)
	if strings.HasPrefix(a.ID(), b.ID()) || strings.HasPrefix(b.ID(), a.ID()) {
		t.Errorf("ids %q and %q", a.ID(), b.ID())
	}
	if _, err := s.Provider.Attach(t.Context(), a.ID()+"0"); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("a longer id: got %v, want %v", err, sandbox.ErrNotFound)
	}
}

func (s *suite) noDockerfile(t *testing.T) {
	want := sandbox.ErrBuild
	if !s.Provider.Capabilities().Build {
		want = sandbox.ErrUnsupported
	} else if s.NoProcesses {
		t.Skip("nothing is built")
	}
	spec := s.spec(t)
	spec.Image = sandbox.Image{Context: t.TempDir(), Digest: strings.Repeat("f", 64), ForceBuild: true}
	sb, err := s.Provider.Start(t.Context(), spec)
	if err == nil {
		_ = sb.Stop(t.Context())
	}
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}
