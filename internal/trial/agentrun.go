package trial

import (
	"context"
	"errors"
	"io"
	"path/filepath"

	"oddish/api"
	"oddish/internal/agent"
	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// agentEnv is what the agent gets.
func (r *run) agentEnv() agent.Env {
	p, s := r.plan, r.step
	env := agent.Env{
		Box:            s.forAgent(r.box),
		User:           s.Agent.User,
		Vars:           p.agentVars,
		Timeout:        s.timeouts.agent,
		Solution:       s.Solution,
		SolutionScript: p.task.SolutionScript(),
		SolutionVars:   p.solutionVars,
		Dir:            s.agentDir(),
		Live:           func(name string) io.Writer { return r.openLive(filepath.Join(s.agentDir(), filepath.Base(name))) },
		Begun:          func(process string) bool { return r.former.processes[s.process(process)] },
		Programs:       p.spec.Programs != "",
		MCP:            mcpServers(p.task.Config.Environment.MCPServers, r.Spec.AgentConfig.MCPServers),
		Skills:         r.skillsDir(),
		Log:            r.log,
	}
	r.modelEnv(&env)
	return env
}

// runAgent lets the agent work. An error of the agent's own is recorded and does not end the trial, unless
// the sandbox was lost with it.
func (r *run) runAgent(ctx context.Context) error {
	r.stage(api.StageAgentRunning)
	s, env := r.step, r.agentEnv()
	s.result.AgentResult = &result.AgentResult{}
	limit := s.timeouts.agent
	if limit > 0 {
		limit += grace
	}
	err := r.phase(ctx, s.phase(phaseAgent), &s.result.AgentExecution, limit, result.AgentTimeoutError, func(ctx context.Context) error {
		return r.underPolicy(ctx, r.box, r.plan.spec.Network, s.agentNetwork, func() error { return s.agent.Run(ctx, env, s.Instruction) })
	})
	r.closeLive()
	r.closeModels()
	if stopped := r.stopped(err); stopped != nil {
		return stopped
	}
	if err == nil {
		return nil
	}
	if e := classify(err); !s.failed(e) || errors.Is(err, sandbox.ErrLost) {
		return e
	}
	r.record(err)
	return nil
}

// failed reports whether an error of the agent's run is its own end, and no end of the trial. A step may have no solution for the oracle: the
// next ones may.
func (s *step) failed(e *result.Error) bool {
	return result.AgentFailed(e.Type) || s.number > 0 && e.Type == result.FileNotFoundError
}
