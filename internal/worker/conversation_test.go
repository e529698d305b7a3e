package worker

import (
	"strings"
	"testing"

	"oddish/internal/atif"
	"oddish/internal/llm/fakellm"
	"oddish/internal/trial"
)

func TestWhatAnAgentAskedMakesATrajectory(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	door := d.door(t.TempDir(), nil)
	door.job = t.TempDir()
	first := d.open(door, trial.ModelRequest{})
	mustAsk(t, first)
	first.Close()
	next := d.open(door, trial.ModelRequest{}) // the worker was restarted
	mustAsk(t, next)
	next.Close()
	log, err := next.Conversation("hi")
	if err != nil {
		t.Fatal(err)
	}
	tr := log.Trajectory
	if tr == nil {
		t.Fatal("there is no trajectory")
	}
	tr.SetAgent("a", "1")
	if err := tr.Validate(); err != nil {
		t.Fatal(err)
	}
	last := tr.Steps[len(tr.Steps)-1]
	if last.Source != atif.SourceAgent || *last.LLMCallCount != 2 || !strings.Contains(tr.Notes, "requests") {
		t.Errorf("the steps are %+v", tr.Steps)
	}
}

func TestATrialRunsWithoutARecordOfWhatIsSaid(t *testing.T) {
	t.Parallel()
	d := newDoors(t, fakellm.Default())
	door := d.door(t.TempDir(), nil)
	door.job = "/proc/nowhere"
	s := d.open(door, trial.ModelRequest{})
	mustAsk(t, s)
	s.Close()
	if log, err := s.Conversation(""); err != nil || log.Trajectory != nil {
		t.Errorf("the conversation is %+v, %v", log, err)
	}
}
