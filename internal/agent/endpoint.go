package agent

import (
	"context"
	"net"

	"oddish/internal/llm"
)

// Endpoint is where an agent reaches its model: a gateway that holds the provider's key outside the sandbox. What is in it may be
// shown to the agent's programs; it is of use only while the trial runs.
type Endpoint struct {
	// BaseURL is reached inside the sandbox whatever its network policy. It has no version: agents whose base URL ends in one append
	// /v1 or /v1beta. It carries the token, so that a program without any key works too.
	BaseURL string
	// Token is given to programs in the place of a key, in whatever header they send one.
	Token string
	// Dialects are those that the model's provider speaks, in the order of llm.Dialects.
	Dialects []llm.Dialect
	// Dial connects this process, outside of the sandbox, to where BaseURL leads; nil: it cannot.
	Dial func(context.Context) (net.Conn, error)
	// ContextTokens fit into the model, and MaxOutput is the usual limit of its answers in tokens; 0: unknown.
	ContextTokens, MaxOutput int64
}

// Facts are what the gateway has seen of an agent's model calls so far. They are surer than what the agent prints.
type Facts struct {
	Calls       int64            // answered ones
	Failures    map[string]int64 // of calls by kind (see package gateway), also those that a retry mended
	LastStatus  int              // of the last answer to the agent; 0 without one
	LastFailure string           // kind of the last call's failure; empty if it succeeded or none was made
	LastMessage string           // what the provider said about it
	// BudgetExceeded names the budget that stopped the agent; empty: none did.
	BudgetExceeded string
	// Divergence tells how a replay left its recording; empty: it did not.
	Divergence string
}
