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
	p := r.plan
	env := agent.Env{
		Box:            r.box,
		User:           p.task.Config.Agent.User,
		Vars:           p.agentVars,
		Timeout:        p.timeouts.agent,
		Solution:       p.task.SolutionDir(),
		SolutionScript: p.task.SolutionScript(),
		SolutionVars:   p.solutionVars,
		Dir:            filepath.Join(r.dir, result.AgentDir),
		Live: func(name string) io.Writer {
			return r.openLive(filepath.Join(result.AgentDir, filepath.Base(name)))
		},
		Begun:    func(process string) bool { return r.former.processes[process] },
		Programs: p.spec.Programs != "",
		MCP:      mcpServers(p.task.Config.Environment.MCPServers, r.Spec.AgentConfig.MCPServers),
		Skills:   r.skillsDir(),
		Log:      r.log,
	}
	r.modelEnv(&env)
	return env
}

// runAgent lets the agent work. An error of the agent's own is recorded and does not end the trial, unless
// the sandbox was lost with it.
func (r *run) runAgent(ctx context.Context, env agent.Env) error {
	r.stage(api.StageAgentRunning)
	r.trial.AgentResult = &result.AgentResult{}
	limit := r.plan.timeouts.agent
	if limit > 0 {
		limit += grace
	}
	err := r.phase(ctx, phaseAgent, &r.trial.AgentExecution, limit, result.AgentTimeoutError, func(ctx context.Context) error {
		return r.plan.agent.Run(ctx, env, r.plan.task.Instruction)
	})
	r.closeLive()
	r.closeModels()
	if stopped := r.stopped(err); stopped != nil {
		return stopped
	}
	if err == nil {
		return nil
	}
	if e := classify(err); !result.AgentFailed(e.Type) || errors.Is(err, sandbox.ErrLost) {
		return e
	}
	r.record(err)
	return nil
}
