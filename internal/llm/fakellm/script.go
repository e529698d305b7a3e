// Package fakellm is a model provider that answers by a script: Anthropic Messages, OpenAI Chat Completions and Responses, and Gemini,
// streaming or not, with exact usage and with the faults that real providers have.
//
// Agents, the gateway and users test against it. It knows nothing of them and shares no code with the gateway, so that a
// misreading of a dialect can't hide on both sides.
package fakellm

import (
	"fmt"
	"os"
	"time"

	"github.com/goccy/go-yaml"
)

// Script says what a server answers. Its zero value answers every request with an empty text; see Default.
type Script struct {
	// Turns are the answers in order. A request is at turn N when it carries N tool results; past the end the last turn is repeated.
	Turns []Turn `yaml:"turns" json:"turns"`
	// Helper answers the calls that agents make beside their work, such as for a title: those that declare no tools or
	// want at most 64 tokens. Nil answers "ok" and counts 11 tokens in and 3 out.
	Helper *Turn `yaml:"helper" json:"helper"`
	// TextAgent is for agents that declare no tools and speak in plain text: no request is a helper's, and a request is at turn N
	// when it carries N messages of the assistant.
	TextAgent bool `yaml:"text_agent" json:"text_agent"`
	// Models that exist; any other is answered 404. Empty: every model exists.
	Models []string `yaml:"models" json:"models"`
	// Keys that are accepted; any other is answered 401. Empty: every key is.
	Keys []string `yaml:"keys" json:"keys"`
	// Faults are looked through in order for every call; the first that fits and is not used up happens.
	Faults []Fault `yaml:"faults" json:"faults"`
	// WebSocket is the status of the answer to a WebSocket handshake; 0 means 426.
	WebSocket int `yaml:"websocket" json:"websocket"`
	// Delay is waited before every event of a stream, and before an answer that does not stream.
	Delay time.Duration `yaml:"delay" json:"delay"`
}

// Turn is one answer: reasoning, then text, then a tool call, each if not empty.
type Turn struct {
	Reasoning string `yaml:"reasoning" json:"reasoning"`
	Text      string `yaml:"text" json:"text"`
	// Command calls the shell tool among those that the request declares, with the arguments that its schema asks for.
	Command string `yaml:"command" json:"command"`
	// Tool and Args call this tool instead.
	Tool string         `yaml:"tool" json:"tool"`
	Args map[string]any `yaml:"args" json:"args"`
	// Refuse ends the answer as refused by the model.
	Refuse bool  `yaml:"refuse" json:"refuse"`
	Usage  Usage `yaml:"usage" json:"usage"`
}

// Usage is what a call used. The parts are contained in their totals, whatever the dialect does.
type Usage struct {
	Input      int64 `yaml:"input" json:"input"` // with CacheRead and CacheWrite
	CacheRead  int64 `yaml:"cache_read" json:"cache_read"`
	CacheWrite int64 `yaml:"cache_write" json:"cache_write"` // told in Anthropic's dialect only
	Output     int64 `yaml:"output" json:"output"`           // with Reasoning
	Reasoning  int64 `yaml:"reasoning" json:"reasoning"`     // not told in Anthropic's dialect
}

// Add gives the sum of both.
func (u Usage) Add(o Usage) Usage {
	return Usage{
		Input: u.Input + o.Input, CacheRead: u.CacheRead + o.CacheRead, CacheWrite: u.CacheWrite + o.CacheWrite,
		Output: u.Output + o.Output, Reasoning: u.Reasoning + o.Reasoning,
	}
}

// Default makes an agent write hello to out.txt and stop. Over both turns it counts 2850 tokens in (1450 from the
// cache, 90 written to it) and 54 out (12 of them reasoning).
func Default() Script {
	return Script{Turns: []Turn{
		{
			Reasoning: "The file does not exist yet.", Text: "I will write the file.", Command: "echo hello > out.txt",
			Usage: Usage{Input: 1253, CacheRead: 200, CacheWrite: 90, Output: 31, Reasoning: 7},
		},
		{
			Reasoning: "Done.", Text: "The file out.txt now says hello.",
			Usage: Usage{Input: 1597, CacheRead: 1250, Output: 23, Reasoning: 5},
		},
	}}
}

// Load reads a script from a YAML or JSON file. Fields that do not exist are errors, so that a typing mistake does not
// pass for a script without it. A script without turns takes those of Default.
func Load(path string) (Script, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Script{}, fmt.Errorf("read model script: %w", err)
	}
	s, err := Parse(data)
	if err != nil {
		return Script{}, fmt.Errorf("model script %s: %w", path, err)
	}
	return s, nil
}

// Parse reads a script as Load does.
func Parse(data []byte) (Script, error) {
	var s Script
	if err := yaml.UnmarshalWithOptions(data, &s, yaml.Strict()); err != nil {
		return Script{}, err
	}
	if len(s.Turns) == 0 {
		s.Turns = Default().Turns
	}
	for i, f := range s.Faults {
		if err := f.check(); err != nil {
			return Script{}, fmt.Errorf("fault %d: %w", i+1, err)
		}
	}
	return s, nil
}

func (s Script) turn(n int) Turn {
	if len(s.Turns) == 0 {
		return Turn{}
	}
	return s.Turns[min(n, len(s.Turns)-1)]
}

func (s Script) helper() Turn {
	if s.Helper != nil {
		return *s.Helper
	}
	return Turn{Text: "ok", Usage: Usage{Input: 11, Output: 3}}
}
