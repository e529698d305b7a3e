package jobdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oddish/internal/result"
)

// Job is a job directory that was found, with the folders of its trials by name.
type Job struct {
	Dir     string // absolute
	ID      string // of the job; the same as long as the folder is the same job's
	Name    string
	Program string     // that ran it, with its version if the folder tells it
	Began   *time.Time // nil: unknown
	Mark    *Mark      // of a pulled experiment; nil: none

	folders []string
}

// ErrNoJob means that a folder is no job directory, and has none in it.
var ErrNoJob = errors.New("there is no job in it: wanted is a folder with the folders of trials, which have a config.json or result.json")

// Find gives the job directories at path: path itself, or those directly in it, by name. ErrNoJob.
func Find(path string) ([]Job, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if isTrial(path) {
		return nil, fmt.Errorf("%s is the folder of one trial: name the job's folder, %s", path, filepath.Dir(path))
	}
	folders, err := subfolders(path)
	if err != nil {
		return nil, err
	}
	if trials := trialsAmong(path, folders); len(trials) > 0 {
		job, err := readJob(path, trials)
		return []Job{job}, err
	}
	var jobs []Job
	for _, name := range folders {
		dir := filepath.Join(path, name)
		inside, err := subfolders(dir)
		if err != nil {
			return nil, err
		}
		trials := trialsAmong(dir, inside)
		if len(trials) == 0 {
			continue
		}
		job, err := readJob(dir, trials)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, job)
	}
	if len(jobs) == 0 {
		return nil, fmt.Errorf("%s: %w", path, ErrNoJob)
	}
	return jobs, nil
}

// subfolders lists the folders in dir that are not hidden. Links to folders are none.
func subfolders(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func trialsAmong(dir string, folders []string) []string {
	return slices.DeleteFunc(slices.Clone(folders), func(name string) bool { return !isTrial(filepath.Join(dir, name)) })
}

// isTrial tells the folder of a trial from a job's, which has files of the same names, by what they hold.
func isTrial(dir string) bool {
	for _, name := range []string{result.ResultFile, result.ConfigFile} {
		doc, err := readObject(filepath.Join(dir, name))
		if _, is := doc["trial_name"]; err == nil && is {
			return true
		}
	}
	// Of a trial that was killed while it wrote there may be no more than this.
	_, err := os.Stat(filepath.Join(dir, result.LogFile))
	return err == nil
}

// readObject reads a JSON object whose numbers stay as they are written.
func readObject(path string) (map[string]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	dec := json.NewDecoder(io.LimitReader(f, maxDocument))
	dec.UseNumber()
	var doc map[string]any
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if doc == nil {
		return nil, fmt.Errorf("read %s: no JSON object", path)
	}
	return doc, nil
}

// readJob reads what the job's own files tell. Each of them may be missing, as of a job that was killed early.
func readJob(dir string, trials []string) (Job, error) {
	j := Job{Dir: dir, Name: filepath.Base(dir), Program: "harbor", folders: trials}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return j, err
	}
	defer root.Close()
	if mark, err := readMark(root); err == nil {
		j.Mark, j.Name, j.Program = &mark, mark.ExperimentName, "oddish"
	} else if !errors.Is(err, fs.ErrNotExist) {
		return j, err
	}
	if doc, err := readObject(filepath.Join(dir, result.ResultFile)); err == nil {
		j.ID, _ = doc["id"].(string)
		text, _ := doc["started_at"].(string)
		// A time without a zone tells no moment: the trials' own do.
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			j.Began = &t
		}
	}
	if doc, err := readObject(filepath.Join(dir, result.LockFile)); err == nil && j.Mark == nil {
		program, _ := doc["harbor"].(map[string]any)
		if version, _ := program["version"].(string); version != "" {
			j.Program += " " + version
		}
	}
	for _, name := range trials {
		if j.ID != "" {
			break
		}
		config, _ := readObject(filepath.Join(dir, name, result.ConfigFile)) // one that cannot be read is told of with its trial
		j.ID, _ = config["job_id"].(string)
	}
	if j.ID == "" {
		j.ID = result.UUIDFor("job folder", dir)
	}
	return j, nil
}
