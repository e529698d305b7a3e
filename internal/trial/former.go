package trial

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"oddish/internal/result"
	"oddish/internal/sandbox"
)

// former is what a journal tells of a trial up to where another process left it. The zero
// value is a trial that has not begun.
type former struct {
	id      string // of its result
	started time.Time

	begun     map[phaseID]time.Time
	ended     map[phaseID]Entry // phases that need not be gone through again
	sandbox   string            // id of the agent's; empty: none is known
	verifiers map[int]string    // ids of separate verifiers', by the number of the step
	steps     []result.Step     // that are over, in order

	processes map[string]bool // by name: they may have begun, and all that they need was in place
	cut       bool            // the last phase was given up because its worker ended
	stopping  bool            // the sandbox was about to be stopped
}

// readJournal gives what a journal tells, and cuts off a last line that was not written whole. No journal tells nothing.
func readJournal(path string) (former, error) {
	var f former
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	whole := data[:bytes.LastIndexByte(data, '\n')+1]
	for line := range bytes.Lines(whole) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			return former{}, fmt.Errorf("read %s: line %q: %w", path, line, err)
		}
		f.learn(e)
	}
	if len(whole) < len(data) {
		return f, os.Truncate(path, int64(len(whole)))
	}
	return f, nil
}

// learn takes the next entry.
func (f *former) learn(e Entry) {
	switch e.Event {
	case eventTrial:
		f.id, f.started = e.ID, e.At
		f.forget()
	case eventAnew:
		f.forget()
	case eventResume:
		f.cut, f.stopping = false, false
	case eventSandbox:
		if e.Verifier {
			f.verifiers[e.Step] = e.ID
		} else {
			f.sandbox = e.ID
		}
	case eventStep:
		if e.Result != nil {
			f.steps = append(f.steps, *e.Result)
		}
	case eventProcess:
		f.processes[e.ID] = true
	case eventBegin:
		if e.Phase == phaseStop {
			f.stopping = true
		} else if _, again := f.begun[e.phase()]; !again {
			f.begun[e.phase()] = e.At
		}
	case eventEnd:
		if e.Error == result.WorkerLost {
			f.cut = true // what it was about may go on in the sandbox
		} else {
			f.ended[e.phase()] = e
		}
	}
}

// forget leaves only what the trial is.
func (f *former) forget() {
	*f = former{
		id: f.id, started: f.started,
		begun: map[phaseID]time.Time{}, ended: map[phaseID]Entry{}, verifiers: map[int]string{}, processes: map[string]bool{},
	}
}

// hasBegun and hasEnded tell of phases of that name, in any step.
func (f *former) hasBegun(name string) bool { return anyPhase(f.begun, name) }
func (f *former) hasEnded(name string) bool { return anyPhase(f.ended, name) }

func anyPhase[V any](phases map[phaseID]V, name string) bool {
	for id := range phases {
		if id.name == name {
			return true
		}
	}
	return false
}

// forgetVerifier leaves nothing of a separate verifier whose sandbox is gone: it begins anew, with what was collected.
func (f *former) forgetVerifier(p *stepPlan) {
	delete(f.verifiers, p.number)
	delete(f.processes, p.process(verifierProcess))
	for _, name := range []string{phaseSeparate, phaseVerifier} {
		delete(f.begun, p.phase(name))
		delete(f.ended, p.phase(name))
	}
}

// timing is that of a phase that ended.
func (f *former) timing(phase phaseID) *result.Timing {
	begin, end := f.begun[phase], f.ended[phase].At
	return &result.Timing{StartedAt: &begin, FinishedAt: &end}
}

func (e Entry) phase() phaseID { return phaseID{e.Step, e.Phase} }

// failure is the error that ended the phase; nil: none.
func (e Entry) failure() error {
	if e.Error == "" {
		return nil
	}
	err := &result.Error{Type: e.Error, Message: e.Message, Class: e.Class}
	if e.Lost {
		err.Err = sandbox.ErrLost
	}
	return err
}
