// Package jobdir writes experiments of a server as job directories of the Harbor format, which Harbor's own programs read, and imports such directories,
// whoever wrote them, as experiments.
//
// It asks the server through package client, above it is the command line. What the files hold is package result's; that it
// neither runs nor decides anything makes it usable on directories of any age.
package jobdir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"oddish/api"
	"oddish/internal/result"
)

// MarkFile is the file in a job directory that says which experiment it was pulled from.
const MarkFile = "oddish.json"

// Mark is the content of MarkFile.
type Mark struct {
	ExperimentID   string        `json:"experiment_id"`
	ExperimentName string        `json:"experiment_name"`
	Trials         []MarkedTrial `json:"trials"` // those whose folders are there, or are to be
}

// MarkedTrial is a trial of the experiment, with what its files do not tell.
type MarkedTrial struct {
	api.JobTrial
	Attempts   int        `json:"attempts,omitempty"`
	StartedAt  *time.Time `json:"started_at,omitempty"` // of the first attempt
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Usage      *api.Usage `json:"usage,omitempty"` // as the server knows it; nil: unknown
}

// Source is the server that experiments are pulled from; *client.Client is one.
type Source interface {
	JobFiles(ctx context.Context, experimentID string) (api.JobFiles, error)
	ExperimentTrials(ctx context.Context, experimentID string) ([]api.Trial, error)
	TrialFiles(ctx context.Context, trialID string) (api.TrialFiles, error)
	TrialFile(ctx context.Context, trialID, name string) (io.ReadCloser, error)
}

// ErrForeign means that a directory holds something else than the experiment.
var ErrForeign = errors.New("the folder is not empty, and holds no job that was pulled of this experiment")

// open makes or opens the job directory, which must be empty or have been pulled from the same experiment. The caller closes it.
func open(dir, experimentID string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if err := checkOwn(root, experimentID); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", dir, err), root.Close())
	}
	return root, nil
}

func checkOwn(root *os.Root, experimentID string) error {
	mark, err := readMark(root)
	if err == nil && mark.ExperimentID == experimentID {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%w but one of experiment %s", ErrForeign, mark.ExperimentID)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	defer d.Close()
	if names, err := d.Readdirnames(1); len(names) > 0 {
		return ErrForeign
	} else if err != nil && err != io.EOF {
		return err
	}
	return nil
}

func readMark(root *os.Root) (Mark, error) {
	var m Mark
	data, err := root.ReadFile(MarkFile)
	if err != nil {
		return m, err
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("read %s: %w", MarkFile, err)
	}
	return m, nil
}

// setting is where a job directory and the tasks of its trials are on this machine.
type setting struct {
	dir   string // absolute
	tasks string // folder with the tasks; empty: unknown, and their paths stay as they are
}

// place sets it in a document of a trial: config.json, or result.json with one in it.
func (s setting) place(name string, doc map[string]any, folder string) {
	config := doc
	if name == result.ResultFile {
		doc["trial_uri"] = "file://" + filepath.ToSlash(filepath.Join(s.dir, folder))
		s.placeTask(doc["task_id"])
		config, _ = doc["config"].(map[string]any)
	}
	if config == nil {
		return
	}
	config["trials_dir"] = filepath.ToSlash(s.dir)
	s.placeTask(config["task"])
	known(config)
}

// placeJob sets it in a job's config.json.
func (s setting) placeJob(config map[string]any) {
	config["job_name"], config["jobs_dir"] = filepath.Base(s.dir), filepath.ToSlash(filepath.Dir(s.dir))
	tasks, _ := config["tasks"].([]any)
	for _, t := range tasks {
		s.placeTask(t)
	}
	known(config)
}

// placeLock makes a job's lock.json agree with its config.json, and with the tasks as far as the trials' own lock.json files tell of them.
func (p *puller) placeLock(lock map[string]any) {
	tasks := p.lockedTasks()
	trials, _ := lock["trials"].([]any)
	for _, t := range trials {
		trial, ok := t.(map[string]any)
		if !ok {
			continue
		}
		known(trial)
		task, _ := trial["task"].(map[string]any)
		digest, _ := task["digest"].(string)
		verifier, _ := trial["verifier"].(map[string]any)
		if of, ok := tasks[digest]; ok && verifier != nil {
			task["version"], verifier["environment_mode"] = of.Task.Version, of.Verifier.EnvironmentMode
		}
	}
}

// lockedTask is what a trial's lock.json tells of its task.
type lockedTask struct {
	Task struct {
		Digest  string  `json:"digest"`
		Version *string `json:"version"`
	} `json:"task"`
	Verifier struct {
		EnvironmentMode *string `json:"environment_mode"` // null: the task has steps
	} `json:"verifier"`
}

// lockedTasks reads the trials' lock.json files, as far as they can be read, by the digests of their tasks.
func (p *puller) lockedTasks() map[string]lockedTask {
	tasks := map[string]lockedTask{}
	for _, t := range p.ended {
		data, err := p.root.ReadFile(filepath.Join(t.Folder, result.LockFile))
		var task lockedTask
		if err != nil || json.Unmarshal(data, &task) != nil || task.Task.Digest == "" {
			continue // a worker that was lost wrote none
		}
		tasks[task.Task.Digest] = task
	}
	return tasks
}

// placeTask sets the path of a task that is no repository's.
func (s setting) placeTask(task any) {
	t, ok := task.(map[string]any)
	name, _ := t["path"].(string)
	if !ok || s.tasks == "" || t["git_url"] != nil || !plain(name) {
		return
	}
	t["path"] = filepath.ToSlash(filepath.Join(s.tasks, name))
}

// known takes the sandbox kind out of a configuration if Harbor has none of the name: it refuses what it cannot import, and its own default
// runs the same tasks. The lock.json of each trial keeps it.
func known(config map[string]any) {
	env, _ := config["environment"].(map[string]any)
	if path, _ := env["import_path"].(string); !strings.HasPrefix(path, "oddish:") {
		return
	}
	delete(env, "import_path")
	if env["type"] == nil {
		env["type"] = "docker"
	}
}
