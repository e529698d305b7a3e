package fake

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

// Note is one line of a journal, in JSON.
type Note struct {
	At      time.Time `json:"at"`
	PID     int       `json:"pid"` // of the program that has the sandbox
	Event   Event     `json:"event"`
	Sandbox string    `json:"sandbox"`           // its id
	Name    string    `json:"name,omitempty"`    // that of its Spec: a worker gives that of the trial's attempt
	Trial   string    `json:"trial,omitempty"`   // the sandbox's TrialLabel
	Process string    `json:"process,omitempty"` // its label; empty: the note is of the sandbox
}

// Event is what a Note tells of.
type Event string

// Events. A process ends when it has run its time, at the latest with its sandbox.
const (
	EventStart Event = "start"
	EventEnd   Event = "end"
)

// Journal notes every start and end of a sandbox and of a process from now on, one Note a line, each in one write. So several
// processes may append to one file, and what a killed one has noted stays. Call it before the first Start.
//
// A sandbox whose start cannot be noted does not start, nor does a process.
func (p *Provider) Journal(w io.Writer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.journal = w
}

// note appends to the journal. process is empty for the sandbox itself.
func (b *Box) note(event Event, process string) error {
	p := b.provider
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.journal == nil {
		return nil
	}
	line, err := json.Marshal(Note{
		At: time.Now(), PID: os.Getpid(), Event: event, Sandbox: b.id, Name: b.spec.Name, Trial: b.spec.Labels[TrialLabel], Process: process,
	})
	if err == nil {
		_, err = p.journal.Write(append(line, '\n'))
	}
	if err != nil {
		return fmt.Errorf("journal of the fake sandbox: %w", err)
	}
	return nil
}
