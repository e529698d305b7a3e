package trial

import (
	"encoding/json"
	"os"
	"time"

	"oddish/internal/result"
)

// JournalFile is the name of the journal in Config.Dir.
const JournalFile = "journal.jsonl"

// Entry is one line of a journal: what a successor must know to take the trial up, or to clean up after it.
type Entry struct {
	At    time.Time `json:"at"`
	Trial string    `json:"trial"` // name of the trial directory
	// Event is begin or end (of Phase), sandbox (with Kind and ID), or process (with ID, its name).
	Event string `json:"event"`
	Phase string `json:"phase,omitempty"`
	Kind  string `json:"kind,omitempty"`
	ID    string `json:"id,omitempty"`
	Error string `json:"error,omitempty"` // type of the error that ended the phase
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

// add writes an entry. The end of a phase becomes durable with the entry after it: until then, a
// successor finds nothing that it would do otherwise. A journal that cannot be written does not end the trial; see err.
func (j *journal) add(e Entry) {
	e.At, e.Trial = result.Time(time.Now()), j.trial
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err == nil && e.Event != "end" {
		err = j.file.Sync()
	}
	if err != nil && j.err == nil {
		j.err = err
	}
}

func (j *journal) close() { j.file.Close() }
