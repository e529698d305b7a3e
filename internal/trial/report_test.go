package trial

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/atif"
	"oddish/internal/llm/usage"
	"oddish/internal/result"
	"oddish/internal/task"
)

// telling is an agent whose logs tell what it is given.
type telling struct {
	agent.Agent
	log *agent.Log
	err error
}

func (t telling) Version() string { return "1.2.3" }

func (t telling) Report(_, version, instruction string) (*agent.Log, error) {
	if t.log != nil && t.log.Trajectory != nil {
		t.log.Trajectory.SchemaVersion = atif.Version
		t.log.Trajectory.Agent = atif.Agent{Name: "telling", Version: version}
		t.log.Trajectory.Add(atif.Step{Source: atif.SourceUser, Message: atif.Text(instruction)})
	}
	return t.log, t.err
}

func newReportRun(t *testing.T, a telling) *run {
	t.Helper()
	r := &run{dir: t.TempDir(), log: slog.New(slog.DiscardHandler), plan: &plan{agent: a, task: &task.Task{Instruction: "do it"}}}
	r.trial.ID = "id"
	r.trial.AgentResult = &result.AgentResult{}
	if err := os.MkdirAll(filepath.Join(r.dir, result.AgentDir), 0o755); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheAgentsOwnNumbersCountWithoutAGateway(t *testing.T) {
	t.Parallel()
	cost := 0.5
	r := newReportRun(t, telling{log: &agent.Log{
		Usage:      usage.Usage{InputTotal: usage.Of(7), CacheRead: usage.Of(2), OutputTotal: usage.Of(3)},
		CostUSD:    &cost,
		Trajectory: &atif.Trajectory{},
	}})
	r.report()
	var f api.Finish
	r.addUsage(&f)
	if f.InputTokens == nil || *f.InputTokens != 7 || *f.CacheTokens != 2 || *f.OutputTokens != 3 || *f.CostUSD != 0.5 {
		t.Errorf("finish is %+v", f)
	}
	data, err := os.ReadFile(filepath.Join(r.dir, result.AgentDir, atif.FileName))
	if err != nil {
		t.Fatal(err)
	}
	tr, err := atif.Parse(data)
	if err != nil || tr.SessionID != "id" || tr.Steps[0].Message.Text != "do it" || tr.Agent.Version != "1.2.3" {
		t.Errorf("trajectory is %+v, %v", tr, err)
	}
}

func TestTheGatewaysNumbersComeBeforeTheAgents(t *testing.T) {
	t.Parallel()
	r := newReportRun(t, telling{log: &agent.Log{Usage: usage.Usage{InputTotal: usage.Of(7), OutputTotal: usage.Of(3)}}})
	r.trial.AgentResult.InputTokens, r.trial.AgentResult.OutputTokens = usage.Of(9), usage.Of(4)
	r.report()
	if *r.trial.AgentResult.InputTokens != 9 || *r.trial.AgentResult.OutputTokens != 4 {
		t.Errorf("agent result is %+v", r.trial.AgentResult)
	}
}

func TestATrajectoryOfTheAgentsOwnIsKept(t *testing.T) {
	t.Parallel()
	r := newReportRun(t, telling{log: &agent.Log{Trajectory: &atif.Trajectory{}}})
	path := filepath.Join(r.dir, result.AgentDir, atif.FileName)
	if err := os.WriteFile(path, []byte("its own"), 0o644); err != nil {
		t.Fatal(err)
	}
	r.report()
	if data, err := os.ReadFile(path); err != nil || string(data) != "its own" {
		t.Errorf("trajectory is %q, %v", data, err)
	}
}

func TestLogsThatCannotBeReadHarmNothing(t *testing.T) {
	t.Parallel()
	r := newReportRun(t, telling{err: errors.New("disk")})
	r.report()
	if r.first != nil || r.trial.AgentResult.InputTokens != nil {
		t.Errorf("error is %v, agent result %+v", r.first, r.trial.AgentResult)
	}
}
