package agent

import (
	"context"
	"errors"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// agentProcess is the name of the process that is the agent.
const agentProcess = "agent"

// Run runs a named process as the agent's user in its environment, for at most
// e.Timeout, at which its whole process group is killed inside the sandbox. Reaching the
// timeout is AgentTimeoutError, a death for want of memory OutOfMemoryError, both *result.Error. A
// non-zero exit status is no error. An agent that could not be killed at its timeout, because it has filled the
// sandbox with processes, is an AgentTimeoutError that wraps sandbox.ErrLost.
//
// The process that is the agent has the label and name "agent".
func (e Env) Run(ctx context.Context, p sandbox.Process) (sandbox.Exit, error) {
	p.Command = e.command(p.Command)
	if p.Timeout == 0 {
		p.Timeout = e.Timeout
	}
	exit, err := e.Box.Run(ctx, p)
	switch {
	case errors.Is(err, sandbox.ErrOutOfMemory):
		return exit, result.Errorf(result.OutOfMemoryError, "the agent was killed at the memory limit of the sandbox: %w", err)
	case err != nil && exit.TimedOut:
		return exit, result.Errorf(result.AgentTimeoutError, "the agent did not finish within %s and could not be stopped: %w", p.Timeout, err)
	case err != nil:
		return exit, err
	case exit.TimedOut:
		return exit, result.Errorf(result.AgentTimeoutError, "the agent did not finish within %s", p.Timeout)
	}
	return exit, nil
}
