package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/api"
	"oddish/internal/sandbox"
)

// MaxKept is how many sandboxes the workers of a machine keep at once: what is kept takes memory and disk that no admission counts.
const MaxKept = 16

// ErrManyKept means that MaxKept sandboxes are kept already.
var ErrManyKept = errors.New("as many sandboxes are kept as may be")

// Kept is a sandbox that is left to people after its trial has ended.
type Kept struct {
	Kind    string    `json:"kind"`
	ID      string    `json:"id"`
	TrialID string    `json:"trial_id"`
	Trial   string    `json:"trial_name"` // the attempt's folder
	Until   time.Time `json:"until"`
}

// KeptDir is where workers that share a folder note what they keep: a file a sandbox. When its file goes, the reaper removes the sandbox.
type KeptDir string

// KeptIn is for workers whose Config.Dir is dir.
func KeptIn(dir string) KeptDir { return KeptDir(filepath.Join(dir, "kept")) }

func (d KeptDir) file(kind, id string) string {
	return filepath.Join(string(d), kind+"-"+id+".json")
}

// Add notes a sandbox, durably. ErrManyKept.
func (d KeptDir) Add(k Kept) error {
	if !isFileName(k.Kind) || !isFileName(k.ID) {
		return fmt.Errorf("%q and %q cannot be names of files", k.Kind, k.ID)
	}
	if err := os.MkdirAll(string(d), 0o700); err != nil {
		return err
	}
	there, err := d.List()
	if err != nil {
		return err
	}
	if len(there) >= MaxKept {
		return ErrManyKept
	}
	data, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return writeDurably(d.file(k.Kind, k.ID), data)
}

// List gives what is kept, the first to expire first.
func (d KeptDir) List() ([]Kept, error) {
	entries, err := os.ReadDir(string(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read which sandboxes are kept: %w", err)
	}
	var list []Kept
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		data, err := os.ReadFile(filepath.Join(string(d), e.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed at this moment
		}
		if err != nil {
			return nil, fmt.Errorf("read which sandboxes are kept: %w", err)
		}
		var k Kept
		if json.Unmarshal(data, &k) == nil && k.ID != "" {
			list = append(list, k)
		}
	}
	slices.SortFunc(list, func(a, b Kept) int { return a.Until.Compare(b.Until) })
	return list, nil
}

// Forget ends the keeping of a sandbox.
func (d KeptDir) Forget(kind, id string) error {
	if err := os.Remove(d.file(kind, id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// expire forgets what was kept until now at most, and gives the others by kind and id.
func (d KeptDir) expire(now time.Time) (map[[2]string]bool, error) {
	list, err := d.List()
	kept := map[[2]string]bool{}
	for _, k := range list {
		if now.Before(k.Until) {
			kept[[2]string{k.Kind, k.ID}] = true
			continue
		}
		err = errors.Join(err, d.Forget(k.Kind, k.ID))
	}
	return kept, err
}

// keeper gives what keeps the sandboxes of a trial that goes wrong; nil: nothing does.
func (w *Worker) keeper(j *job, kind string) func(sandbox.Sandbox) (time.Time, error) {
	seconds := keepSeconds(j.Trial)
	if seconds == 0 {
		return nil
	}
	return func(box sandbox.Sandbox) (time.Time, error) {
		k := Kept{Kind: kind, ID: box.ID(), TrialID: j.ID, Trial: j.Trial.TrialName, Until: time.Now().Add(time.Duration(seconds) * time.Second).UTC().Truncate(time.Second)}
		if err := KeptIn(w.c.Dir).Add(k); err != nil {
			return time.Time{}, err
		}
		if used, ok := sandbox.As[*trackedSandbox](box); ok {
			used.stopped() // the reaper's, when it is kept no more
		}
		return k.Until, nil
	}
}

// keepSeconds is how long a trial's sandbox is kept if the trial goes wrong.
func keepSeconds(t api.TrialSpec) int {
	if e := t.Harbor.Environment; e != nil && e.KeepOnFailureSec != nil {
		return *e.KeepOnFailureSec
	}
	return 0
}
