package trial

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"oddish/internal/agent"
	"oddish/internal/atif"
	"oddish/internal/result"
	"oddish/internal/task"
)

// report takes from the agent's logs what it says of its tokens and cost, and makes the trajectory, unless the agent has left one
// itself. Nothing of it is needed for a reward, so that a failure is only told.
func (r *run) report() {
	reporter, can := r.plan.agent.(agent.Reporter)
	if !can || r.trial.AgentResult == nil {
		return
	}
	dir := filepath.Join(r.dir, result.AgentDir)
	log, err := reporter.Report(dir, r.agentVersion(), r.plan.task.Instruction)
	if err != nil {
		r.log.Warn("agent's own logs could not be read", "error", err)
		return
	}
	if a := r.trial.AgentResult; a.InputTokens == nil && a.OutputTokens == nil { // the gateway has not counted
		a.InputTokens, a.CacheTokens, a.OutputTokens, a.CostUSD = log.Usage.InputTotal, log.Usage.CacheRead, log.Usage.OutputTotal, log.CostUSD
	}
	path := filepath.Join(dir, atif.FileName)
	if _, err := os.Lstat(path); log.Trajectory == nil || !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if log.Trajectory.SessionID == "" {
		log.Trajectory.SessionID = r.trial.ID
	}
	if err := atif.Write(path, log.Trajectory); err != nil {
		r.log.Warn("agent's trajectory could not be made", "error", err)
	}
}

// mcpServers gives the task's tool servers as agents take them.
func mcpServers(list []task.MCPServer) []agent.MCPServer {
	var out []agent.MCPServer
	for _, s := range list {
		out = append(out, agent.MCPServer{Name: s.Name, Transport: s.Transport, URL: s.URL, Command: s.Command, Args: s.Args})
	}
	return out
}
