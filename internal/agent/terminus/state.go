package terminus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"oddish/internal/atif"
	"oddish/internal/llm/usage"
)

// phase is what the loop is at.
type phase string

const (
	phaseOpen    phase = ""        // the terminal is opened
	phaseAsk     phase = "ask"     // the model is asked
	phaseSend    phase = "send"    // its commands are typed
	phaseObserve phase = "observe" // what came of them is looked at
	phaseDone    phase = "done"
)

// state is all that the loop knows. It is written down before each step that changes anything outside, so that a successor
// knows what may have been done: keys are typed at most once, and a model that was asked may be asked again.
type state struct {
	Version  int       `json:"version"`
	Started  time.Time `json:"started"`
	Phase    phase     `json:"phase"`
	Episode  int       `json:"episode"` // answers of the model so far, those that could not be understood included
	History  []Message `json:"history"`
	Next     string    `json:"next"`             // what the model is told next
	Tokens   int64     `json:"tokens,omitempty"` // of History, as far as the provider has told
	Told     int       `json:"told,omitempty"`   // bytes of History that Tokens counts
	Reply    *Reply    `json:"reply,omitempty"`
	Sent     int       `json:"sent,omitempty"` // commands of Reply that were, or are being, typed
	Sure     bool      `json:"sure,omitempty"` // it has said once that the task is complete
	Anchor   string    `json:"anchor,omitempty"`
	Restarts int       `json:"restarts,omitempty"`
	Resumed  bool      `json:"resumed,omitempty"` // the model is to hear that it was interrupted

	Record Record `json:"record"`
}

// Record is what the loop tells of itself.
type Record struct {
	Steps       []atif.Step       `json:"steps"`
	Summaries   []atif.Trajectory `json:"summaries,omitempty"` // sub-agents, in order
	Usage       usage.Usage       `json:"usage"`
	Calls       []int64           `json:"calls"` // milliseconds that each took
	Compactions int               `json:"compactions"`
	Episodes    int               `json:"episodes"`
}

const stateVersion = 1

// load reads the state that a former process has left; nil: there is none.
func load(path string) (*state, error) {
	if path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the agent's state: %w", err)
	}
	s := &state{}
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("read the agent's state: %w", err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("the agent's state is of version %d, and this program knows %d", s.Version, stateVersion)
	}
	return s, nil
}

// Load gives what the loop that has its state in a file tells of itself; nil: there is none.
func Load(path string) (*Record, error) {
	s, err := load(path)
	if s == nil || err != nil {
		return nil, err
	}
	return &s.Record, nil
}

// save writes the state, whole and durable before it returns.
func (s *state) save(path string) error {
	if path == "" {
		return nil
	}
	data, err := json.Marshal(s)
	if err == nil {
		err = replace(path, data)
	}
	if err != nil {
		return fmt.Errorf("keep the agent's state: %w", err)
	}
	return nil
}

func replace(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
