package agent

import "context"

// nop does nothing.
type nop struct{}

var _ Agent = nop{}

// Nop is the name of the agent that does nothing.
const Nop = "nop"

func newNop(o Options) (Agent, error) {
	return nop{}, refuseKwargs("nop", o.Kwargs)
}

func (nop) Name() string                           { return "nop" }
func (nop) Version() string                        { return "1.0.0" }
func (nop) Setup(context.Context, Env) error       { return nil }
func (nop) Run(context.Context, Env, string) error { return nil }
