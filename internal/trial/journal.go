package trial

import (
	"encoding/json"
	"os"
	"time"

	"oddish/api"
	"oddish/internal/result"
)

// JournalFile is the name of the journal in Config.Dir.
const JournalFile = "journal.jsonl"

// Phases that others than their own code ask about.
const (
	phaseAgentSetup = "agent_setup"
	phaseAgent      = "agent_execution"
	phaseCollect    = "collect"
	phaseAgentStop  = "agent_stop" // of the agent's sandbox, before a separate verifier starts
	phaseSeparate   = "verifier_environment"
	phaseVerifier   = "verifier"
	phaseStop       = "stop"
)

// phaseID names a phase of a trial, or of one of its steps.
type phaseID struct {
	step int // from 1; 0: of the trial, or of a task without steps
	name string
}

// What an Entry is about.
const (
	eventTrial   = "trial"   // it begins; ID is that of its result
	eventBegin   = "begin"   // of Phase
	eventEnd     = "end"     // of Phase
	eventSandbox = "sandbox" // it runs, Kind and ID
	eventProcess = "process" // it is about to begin; ID is its name
	eventStep    = "step"    // it is over, with Result
	eventResume  = "resume"  // another process has taken the trial up
	eventAnew    = "anew"    // what was done before counts for nothing
)

// Entry is one line of a journal: what a successor must know to take the trial up, or to clean up after it.
type Entry struct {
	At    time.Time `json:"at"`
	Trial string    `json:"trial"` // name of the trial directory
	// Event is trial, begin, end, sandbox, process, step, resume or anew.
	Event    string       `json:"event"`
	Step     int          `json:"step,omitempty"` // number of the step that Phase or the sandbox is of, from 1
	Phase    string       `json:"phase,omitempty"`
	Kind     string       `json:"kind,omitempty"`
	ID       string       `json:"id,omitempty"`
	Verifier bool         `json:"verifier,omitempty"` // the sandbox is a separate verifier's
	Version  string       `json:"version,omitempty"`  // of the agent, at the end of its setup
	Dir      string       `json:"dir,omitempty"`      // the working directory of the agent, at the end of collecting
	Result   *result.Step `json:"result,omitempty"`
	// The error that ended the phase.
	Error   string         `json:"error,omitempty"` // its type
	Message string         `json:"message,omitempty"`
	Class   api.ErrorClass `json:"class,omitempty"`
	Lost    bool           `json:"lost,omitempty"` // the sandbox was lost with it
}

// journal appends entries to a file; what begins is durable before it begins.
type journal struct {
	file  *os.File
	trial string
	err   error // the first failure to write
}

func openJournal(path, trial string) (*journal, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &journal{file: f, trial: trial}, nil
}

// add writes an entry and gives its time. The end of a phase becomes durable with the entry after it: until then, a
// successor finds nothing that it would do otherwise. A journal that cannot be written does not end the trial; see err.
func (j *journal) add(e Entry) time.Time {
	e.At, e.Trial = result.Time(time.Now()), j.trial
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err == nil && e.mustLast() {
		err = j.file.Sync()
	}
	if err != nil && j.err == nil {
		j.err = err
	}
	return e.At
}

// mustLast tells entries that have to be durable before what they announce.
func (e *Entry) mustLast() bool {
	return e.Event == eventBegin || e.Event == eventSandbox || e.Event == eventProcess
}

func (j *journal) close() { j.file.Close() }
