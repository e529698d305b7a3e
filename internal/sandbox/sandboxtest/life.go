package sandboxtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"oddish/internal/sandbox"
)

func (s *suite) lifeCases() map[string]func(*testing.T) {
	return map[string]func(*testing.T){
		"ids differ": s.idsDiffer,
		"list shows it with its labels until stopped": s.listed,
		"another owner's list does not":               s.otherOwner,
		"attach finds it by id":                       s.attach,
		"attach to an unknown id is ErrNotFound":      s.attachUnknown,
		"stop is quick and may be repeated":           s.stopTwice,
		"what is used after stop is lost":             s.afterStop,
		"a start that is given up leaves nothing":     s.startCancelled,
		"capabilities are constant":                   s.capabilities,
	}
}

func (s *suite) idsDiffer(t *testing.T) {
	if a, b := s.start(t), s.start(t); a.ID() == b.ID() || a.ID() == "" {
		t.Errorf("ids %q and %q", a.ID(), b.ID())
	}
}

// find gives the entry of a sandbox in its owner's list.
func (s *suite) find(t *testing.T, owner, id string) *sandbox.Info {
	t.Helper()
	list, err := s.Provider.List(t.Context(), owner)
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range list {
		if info.ID == id {
			return &info
		}
	}
	return nil
}

func (s *suite) listed(t *testing.T) {
	sb := s.start(t)
	for _, owner := range []string{s.owner, ""} {
		info := s.find(t, owner, sb.ID())
		if info == nil {
			t.Fatalf("not in the list of owner %q", owner)
		}
		if info.Owner != s.owner || info.Labels["case"] != t.Name() || info.Name != s.spec(t).Name || !info.Running {
			t.Errorf("got %+v", info)
		}
		if age := time.Since(info.Created); age < -time.Minute || age > time.Hour {
			t.Errorf("created %v", info.Created)
		}
	}
	if err := sb.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info := s.find(t, s.owner, sb.ID()); info != nil {
		t.Errorf("still listed: %+v", info)
	}
}

func (s *suite) otherOwner(t *testing.T) {
	sb := s.start(t)
	if info := s.find(t, s.owner+"-other", sb.ID()); info != nil {
		t.Errorf("listed: %+v", info)
	}
}

func (s *suite) attach(t *testing.T) {
	sb := s.start(t)
	if err := sb.Upload(t.Context(), "/data", tarOf(file{name: "f", body: "kept"})); err != nil {
		t.Fatal(err)
	}
	again, err := s.Provider.Attach(t.Context(), sb.ID())
	if err != nil {
		t.Fatal(err)
	}
	if got := download(t, again, "/data")["f"]; got != "kept" || again.ID() != sb.ID() {
		t.Errorf("id %s, file %q", again.ID(), got)
	}
}

func (s *suite) attachUnknown(t *testing.T) {
	for _, id := range []string{"nosuchsandbox", "", "../x", "0123456789abcdef"} {
		if _, err := s.Provider.Attach(t.Context(), id); !errors.Is(err, sandbox.ErrNotFound) {
			t.Errorf("id %q: %v", id, err)
		}
	}
}

func (s *suite) stopTwice(t *testing.T) {
	sb := s.start(t)
	begun := time.Now()
	for range 2 {
		if err := sb.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if took := time.Since(begun); took > 8*time.Second { // a second when the machine is not busy
		t.Errorf("took %v", took)
	}
	if _, err := s.Provider.Attach(t.Context(), sb.ID()); !errors.Is(err, sandbox.ErrNotFound) {
		t.Errorf("attach after stop: %v", err)
	}
}

func (s *suite) afterStop(t *testing.T) {
	sb := s.start(t)
	if err := sb.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := sb.Exec(t.Context(), sandbox.Command{Script: "true"}); err == nil {
		t.Error("exec worked")
	}
	if err := sb.Upload(t.Context(), "/x", tarOf()); err == nil {
		t.Error("upload worked")
	}
}

func (s *suite) startCancelled(t *testing.T) {
	spec := s.spec(t)
	spec.Owner += "-cancelled"
	for _, after := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		sb, err := s.Provider.Start(ctx, spec)
		cancel()
		if err == nil { // it was quicker
			if err := sb.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		} else if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after %v: %v", after, err)
		}
	}
	list, err := s.Provider.List(t.Context(), spec.Owner)
	if err != nil || len(list) > 0 {
		t.Errorf("left behind: %+v, %v", list, err)
	}
}

func (s *suite) capabilities(t *testing.T) {
	if first := s.Provider.Capabilities(); s.another(t).Capabilities() != first {
		t.Error("they changed")
	}
	if s.Provider.Kind() == "" {
		t.Error("no kind")
	}
	if err := s.Provider.Check(t.Context()); err != nil {
		t.Errorf("check: %v", err)
	}
}
