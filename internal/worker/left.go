package worker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"oddish/api"
	"oddish/internal/trial"
)

// jobFile is the file in a job's folder that tells a successor which job it is. It is there, durably,
// from before anything of the job starts until the folder is about to go.
const jobFile = "job.json"

// jobRecord is the content of a jobFile. What to run is not in it: the server says it again, secrets included.
type jobRecord struct {
	ID        string `json:"id"`
	Lease     string `json:"lease"`
	TrialName string `json:"trial_name"`
	Sandbox   string `json:"sandbox"` // kind
}

// leftJob is a job whose process is gone, with its folder.
type leftJob struct {
	jobRecord
	dir string
}

// jobDir makes a folder for a job.
func (h *home) jobDir(j api.Job) (string, error) {
	dir, err := os.MkdirTemp(jobsDir(h.dir), "")
	if err != nil {
		return "", fmt.Errorf("make a folder for the trial: %w", err)
	}
	record, err := json.Marshal(jobRecord{ID: j.ID, Lease: j.Lease, TrialName: j.Trial.TrialName, Sandbox: j.Trial.Environment})
	if err == nil {
		err = writeDurably(filepath.Join(dir, jobFile), record)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("note the trial in its folder: %w", err), os.RemoveAll(dir))
	}
	return dir, nil
}

func jobsDir(home string) string { return filepath.Join(home, "jobs") }

// writeDurably makes a private file that is whole if it is there.
func writeDurably(name string, data []byte) error {
	temp := name + ".tmp"
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
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
	if err := os.Rename(temp, name); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// removeJobDir removes a job's folder. A part of it that is left is not taken for a job.
func removeJobDir(dir string) error {
	if err := os.Remove(filepath.Join(dir, jobFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

// jobsIn reads the folders of jobs in a worker's folder. Those that say of no job are in rest.
func jobsIn(home string) (jobs []leftJob, rest []string, err error) {
	entries, err := os.ReadDir(jobsDir(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("look for jobs in the worker's folder: %w", err)
	}
	for _, e := range entries {
		j := leftJob{dir: filepath.Join(jobsDir(home), e.Name())}
		data, err := os.ReadFile(filepath.Join(j.dir, jobFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("look for jobs in the worker's folder: %w", err)
		}
		if err != nil || json.Unmarshal(data, &j.jobRecord) != nil || j.ID == "" || j.Lease == "" {
			rest = append(rest, j.dir)
			continue
		}
		jobs = append(jobs, j)
	}
	return jobs, rest, nil
}

// named reports whether one of the jobs has a sandbox of that name.
func named(jobs []leftJob, name string) bool {
	return slices.ContainsFunc(jobs, func(j leftJob) bool { return trial.IsSandboxOf(name, j.TrialName) })
}
