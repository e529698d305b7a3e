// Package terminus is the agent terminus-2: a loop in the worker's own process that shows a model a terminal of the sandbox and types what the
// model answers. It behaves as Harbor's agent of that name, version 2.0.0: same options, same forms of answers, same limits.
//
// The terminal is tmux in the sandbox, driven by short commands. The model is called outside of the sandbox. All that the loop knows is in one
// snapshot (see state), which is on disk before anything is done by it, so that another process goes on where one was killed.
//
// It knows nothing of trials and gateways; package agent, above it, makes it an agent.
package terminus

import (
	"context"
	"log/slog"
	"time"

	"oddish/internal/llm/usage"
)

// Version of Harbor's agent that this one behaves as.
const Version = "2.0.0"

// Limits as Harbor has them.
const (
	maxObservation  = 10_000           // bytes of an observation
	maxDuration     = 60 * time.Second // for which a command is waited
	defaultTurns    = 1_000_000
	defaultReserve  = 8000      // tokens that are kept free before a summary is made
	defaultContext  = 1_000_000 // tokens, of a model whose limit nobody knows
	spareForSummary = 4000      // tokens that are made free before a summary is asked for
)

// Config of a Loop. The zero value of an option is its default.
type Config struct {
	Model    Model
	Terminal Terminal
	Options  Options
	// ContextTokens is how much fits into the model; 0: unknown.
	ContextTokens int64
	// Snapshot is the file that keeps the loop's state; empty: it is not kept.
	Snapshot string
	// ModelName is for the trajectory.
	ModelName string
	// Instruction is the task, with what is added to it about tools.
	Instruction string
	// Timeout counts from the first start, also of a former process; 0: none.
	Timeout time.Duration
	// Wrote is called after each episode with the state of things; nil: nobody listens.
	Wrote func(*Record)
	Log   *slog.Logger
	// Now and Sleep are the clock; nil: the real one.
	Now   func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Options are what users choose, by Harbor's names.
type Options struct {
	MaxTurns   int  // max_turns
	XML        bool // parser_name is xml
	NoSummary  bool // enable_summarize is false
	Reserve    int64
	Raw        bool // trajectory_config.raw_content
	Interleave bool // interleaved_thinking
	SessionID  string
	Extra      map[string]any // of the trajectory's agent
}

// Model is asked for one answer to a conversation, whose first message is the user's.
type Model interface {
	Ask(ctx context.Context, conversation []Message) (Answer, error)
}

// Message is one of a conversation. Raw is the answer as the model's dialect has it, for models that want their thoughts back.
type Message struct {
	Role      string `json:"role"` // user or assistant
	Text      string `json:"text"`
	Reasoning string `json:"reasoning,omitempty"`
	Raw       []byte `json:"raw,omitempty"`
}

// Answer is what a model answered.
type Answer struct {
	Text, Reasoning string
	Raw             []byte
	// Cut: the answer reached the limit of its length.
	Cut   bool
	Usage usage.Usage
}

// Terminal is a terminal of the sandbox.
type Terminal interface {
	// Open makes the terminal, unless it is there; fresh makes a new one in any case.
	Open(ctx context.Context, fresh bool) error
	// Send types keys: a name such as C-c or Enter if it is one, else the text. ErrGone if there is no terminal.
	Send(ctx context.Context, keys string) error
	// Capture gives the newest lines with those that have scrolled away, and the visible screen. ErrGone if there is no terminal.
	Capture(ctx context.Context) (Capture, error)
	// Close ends the terminal and what runs in it.
	Close(ctx context.Context) error
}

// Capture is what a terminal shows.
type Capture struct{ All, Screen string }

// Reply is a model's answer, understood.
type Reply struct {
	Analysis string    `json:"analysis"`
	Plan     string    `json:"plan"`
	Commands []Command `json:"commands"`
	Complete bool      `json:"complete"`
	Warnings []string  `json:"warnings,omitempty"`
}

// Command is what is typed, and how long it is waited for what comes of it.
type Command struct {
	Keys     string        `json:"keys"`
	Duration time.Duration `json:"duration"`
}
