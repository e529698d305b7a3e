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

func (t telling) Name() string    { return "telling" }
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
	r := &run{dir: t.TempDir(), log: slog.New(slog.DiscardHandler), plan: &plan{agent: a}}
	r.step = &step{stepPlan: &stepPlan{Part: task.Part{Instruction: "do it"}, agent: a}, dir: r.dir}
	r.trial.ID = "id"
	r.step.result.AgentResult = &result.AgentResult{}
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
	r.step.result.AgentResult.InputTokens, r.step.result.AgentResult.OutputTokens = usage.Of(9), usage.Of(4)
	r.report()
	if *r.step.result.AgentResult.InputTokens != 9 || *r.step.result.AgentResult.OutputTokens != 4 {
		t.Errorf("agent result is %+v", r.step.result.AgentResult)
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
	if r.first != nil || r.step.result.AgentResult.InputTokens != nil {
		t.Errorf("error is %v, agent result %+v", r.first, r.step.result.AgentResult)
	}
}

func TestWhatWasAskedOfTheModelBecomesTheTrajectoryOfAnAgentThatLeftNone(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]telling{"no record": {log: &agent.Log{}}, "one that cannot be read": {err: errors.New("disk")}} {
		r := newReportRun(t, a)
		images := &atif.Images{}
		said := &atif.Trajectory{SchemaVersion: atif.Version}
		said.Add(atif.Step{Source: atif.SourceUser, Message: atif.Parts([]atif.Part{images.Base64("image/png", "aGVsbG8=")})})
		sub := atif.Trajectory{SchemaVersion: atif.Version, TrajectoryID: "conversation-2"}
		sub.Add(atif.Step{Source: atif.SourceUser, Message: atif.Text("look")})
		said.SubTrajectories = []atif.Trajectory{sub}
		r.models = &fakeModels{said: &agent.Log{Trajectory: said, Images: images}}
		r.report()
		dir := filepath.Join(r.dir, result.AgentDir)
		data, err := os.ReadFile(filepath.Join(dir, atif.FileName))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		tr, err := atif.Parse(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if tr.Agent.Name != "telling" || tr.Agent.Version != "1.2.3" || tr.SubTrajectories[0].Agent.Name != "telling" || tr.SessionID != "id" {
			t.Errorf("%s: trajectory is %+v", name, tr)
		}
		if data, err := os.ReadFile(filepath.Join(dir, tr.Steps[0].Message.Parts[0].Source.Path)); err != nil || string(data) != "hello" {
			t.Errorf("%s: the picture is %q, %v", name, data, err)
		}
	}
}

func TestWithoutAnyRecordThereIsNoTrajectory(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]ModelSession{"no model": nil, "nothing said": &fakeModels{said: &agent.Log{}}, "no disk": &fakeModels{}} {
		r := newReportRun(t, telling{log: &agent.Log{}})
		r.models = m
		r.report()
		if result.HasTrajectory(r.dir) || r.first != nil {
			t.Errorf("%s: there is one, or an error: %v", name, r.first)
		}
	}
}

// Harbor test list #57
func TestTheCostOfClaudeComesFromItsResultAndFromPricesWhenItWasKilled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files  []string
		cost   float64
		source any
	}{
		"from its result":    {[]string{"claude-code.txt", "sessions/projects/-app/session.jsonl"}, 0.0055125, nil},
		"when it was killed": {[]string{"sessions/projects/-app/session.jsonl"}, 0.25, "gateway"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReportRun(t, telling{})
			claude, err := agent.New("claude-code", agent.Options{Model: "anthropic/claude-sonnet-4-5"})
			if err != nil {
				t.Fatal(err)
			}
			r.plan.agent, r.step.agent = claude, claude
			dir := filepath.Join(r.dir, result.AgentDir)
			for _, f := range c.files {
				data, err := os.ReadFile(filepath.Join("..", "agent", "testdata", "claude-code", "ok", filepath.FromSlash(f)))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, f)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, f), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			priced := 0.25
			r.usage = &api.Usage{CostUSD: &priced}
			r.report()
			data, err := os.ReadFile(filepath.Join(dir, atif.FileName))
			if err != nil {
				t.Fatal(err)
			}
			tr, err := atif.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			if m := tr.FinalMetrics; *m.TotalCostUSD != c.cost || m.Extra["cost_source"] != c.source || *m.TotalPromptTokens != 2850 {
				t.Errorf("the sums are %+v with a cost of %v", m, *m.TotalCostUSD)
			}
		})
	}
}
