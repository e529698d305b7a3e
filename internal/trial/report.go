package trial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"oddish/internal/agent"
	"oddish/internal/atif"
)

// report takes from the agent's logs what it says of its tokens and cost, and makes the trajectory, unless the agent has left one
// itself: from the logs, and where they tell of no step from what it asked its model. Nothing of it is needed for a reward, so that a failure is only told.
func (r *run) report() {
	s := r.step
	reporter, can := s.agent.(agent.Reporter)
	if !can || s.result.AgentResult == nil {
		return
	}
	dir := s.agentDir()
	log, err := reporter.Report(dir, r.agentVersion(), s.Instruction)
	if err != nil {
		r.log.Warn("agent's own logs could not be read", "error", err)
		log = &agent.Log{}
	}
	if a := s.result.AgentResult; a.InputTokens == nil && a.OutputTokens == nil { // the gateway has not counted
		a.InputTokens, a.CacheTokens, a.OutputTokens, a.CostUSD = log.Usage.InputTotal, log.Usage.CacheRead, log.Usage.OutputTotal, log.CostUSD
	}
	s.result.AgentResult.Metadata = log.Metadata
	path := filepath.Join(dir, atif.FileName)
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) && !log.Own {
		return
	}
	if log.Trajectory == nil {
		log = r.conversation()
	}
	if log.Trajectory == nil {
		return
	}
	if log.Trajectory.SessionID == "" {
		log.Trajectory.SessionID = r.trial.ID
	}
	r.price(log.Trajectory)
	err = log.Images.Write(dir)
	if err == nil {
		err = atif.Write(path, log.Trajectory)
	}
	if err != nil {
		r.log.Warn("agent's trajectory could not be made", "error", err)
	}
}

// price gives the trajectory the cost that the gateway has counted, if the agent tells none: it has no prices, or was killed before it told.
func (r *run) price(t *atif.Trajectory) {
	m := t.FinalMetrics
	if r.usage == nil || r.usage.CostUSD == nil || m == nil || m.TotalCostUSD != nil {
		return
	}
	m.TotalCostUSD = r.usage.CostUSD
	if m.Extra == nil {
		m.Extra = map[string]any{}
	}
	m.Extra["cost_source"] = "gateway"
}

// conversation gives the trajectory that the agent's calls of its model make.
func (r *run) conversation() *agent.Log {
	if r.models == nil {
		return &agent.Log{}
	}
	log, err := r.models.Conversation(r.step.Instruction)
	if err != nil {
		r.log.Warn("no trajectory could be made of the agent's model calls", "error", err)
		return &agent.Log{}
	}
	if log.Trajectory != nil {
		log.Trajectory.SetAgent(r.plan.agent.Name(), r.agentVersion())
	}
	return log
}
